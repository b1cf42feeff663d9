"""HTTP as both servers speak it: connections, requests, replies."""
