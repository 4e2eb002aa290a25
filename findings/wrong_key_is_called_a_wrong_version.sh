#!/usr/bin/env bash
# A TLS server whose key no client can use says that the version is wrong.
#
# One would guess: a server with TLS 1.2 and 1.3 and a key on the curve P-224, for which TLS 1.3 has no
# signature, does not start, or answers a client of 1.3 with the alert handshake_failure (40), since there
# is no kind of signature in common: https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.2
# What happens: OpenSSL starts it without a word, and refuses such a client with protocol_version
# (70), as a server does that has no TLS 1.3 at all. Even with the option -tls1_3, so with no other
# version, it says so to every client of 1.3. With a key on P-256 both agree at once.
# Why it matters here: whoever reads "protocol version" in a log changes tls.versions, on and on, while
# the receiver needs another certificate. So event_pusher names both causes (docs/tls.md).
#
# Needs Debian 12 or later, and apt. Seen with OpenSSL 3.0.20:
#   P-256: New, TLSv1.3
#   P-224: alert protocol version
#   P-224, server with -tls1_3: alert protocol version
set -euo pipefail

version=3.0.20-1~deb12u2
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
# apt drops its rights, and has to write here all the same.
chmod 777 .
apt-get download -qq "openssl=$version" "libssl3=$version"
for package in ./*.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$(dirname "$(find "$folder" -name libssl.so.3)")
export LD_LIBRARY_PATH
export PATH="$folder/usr/bin:$PATH"

# What a client of TLS 1.3 is told by a server with a key on this curve.
told() {
    local curve=$1
    shift
    openssl req -x509 -newkey ec -pkeyopt "ec_paramgen_curve:$curve" -nodes -subj /CN=localhost \
        -keyout key.pem -out cert.pem 2>openssl.log
    openssl s_server -accept 127.0.0.1:0 -www -cert cert.pem -key key.pem "$@" >server.log 2>&1 &
    server=$!
    until grep -q '^ACCEPT' server.log; do kill -0 "$server"; sleep 0.1; done
    openssl s_client -connect "$(sed -n 's/^ACCEPT //p' server.log)" -tls1_3 \
        </dev/null >client.log 2>&1 || true
    kill "$server"
    wait "$server" || true
    server=
    grep -oE -m 1 'New, TLSv1.3|alert [a-z]+ [a-z]+' client.log
}

openssl version
told P-256 >p256
told P-224 >p224
told P-224 -tls1_3 >p224_only
echo "P-256: $(cat p256)"
echo "P-224: $(cat p224)"
echo "P-224, server with -tls1_3: $(cat p224_only)"
[ "$(cat p256)" = "New, TLSv1.3" ]
[ "$(cat p224)" = "alert protocol version" ]
[ "$(cat p224_only)" = "alert protocol version" ]
echo "as described"
