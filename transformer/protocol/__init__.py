"""What clients speak: V1 and the Open Inference Protocol, over REST and gRPC, and pages for people."""
