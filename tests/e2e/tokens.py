"""An issuer of tokens, and a program that publishes its key."""

import json
import time
import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ISSUER = "https://issuer.e2e.example.com/"


class Issuer:
    """Signs with a key of its own."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._id = uuid.uuid4().hex

    def token(self, *, audience: str = "sentiment", issuer: str = ISSUER, life_s: float = 600) -> str:
        """Sign a token that lives for ``life_s`` seconds from now."""
        claims = {"iss": issuer, "aud": audience, "sub": "e2e", "exp": int(time.time() + life_s)}
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._id})

    def server(self, *, port: int) -> str:
        """Give a program that serves the public key as a key set, at every path."""
        public = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        keys = json.dumps({"keys": [public | {"kid": self._id, "use": "sig", "alg": "RS256"}]})
        return f"""
import http.server

class Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write({keys.encode()!r})

http.server.ThreadingHTTPServer(("", {port}), Keys).serve_forever()
"""
