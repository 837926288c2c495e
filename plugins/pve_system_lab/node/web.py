"""A stand-in for pveproxy: something that answers on port 8006 over TLS."""

from __future__ import annotations

import http.server
import ssl

from pve_system_lab.node.process import show_as

PORT = 8006


class _Page(http.server.BaseHTTPRequestHandler):
    timeout = 30

    def do_GET(self) -> None:
        """The login page."""
        text = b"<title>Proxmox VE of the system lab</title>\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *values: object) -> None:
        """No log."""


def main() -> None:
    """Serve until killed."""
    show_as("pveproxy")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key")
    server = http.server.ThreadingHTTPServer(("", PORT), _Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
