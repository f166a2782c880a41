#!/usr/bin/env python3
"""Makes derived_code.jsonl: signed requests of providers whose scheme takes code
or keys that are fetched, and whose SDK was not run.

The signatures are made here, in Python, after what is known of each provider,
and never by this project's own code. Keys, nonces and times are fixed, so that
a second run gives the same file (cryptography 43 or later is needed):

    cd verify/testdata && python3 derive_code.py > derived_code.jsonl

Every request that must be accepted is followed by some that must be rejected.
"""
import base64
import datetime
import hashlib
import hmac
import json
import urllib.parse
import zlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.x509.oid import NameOID

NOW = 1795000000  # Unix seconds, 2026-11-18T11:06:40Z
ISO = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
URL = "https://hooks.example.test/in/source"
KEY = "derived-secret-0123456789abcdef"
FORM = "application/x-www-form-urlencoded"

RSA = serialization.load_pem_private_key(open("derive_rsa.pem", "rb").read(), None)
EC = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_EC = ec.derive_private_key(0xFEDCBA0987654321, ec.SECP256R1())


def b64(raw):
    return base64.b64encode(raw).decode()


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode().strip()


def spki(key):
    return b64(key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def mac(digest, key, text):
    return hmac.new(key if isinstance(key, bytes) else key.encode(), text if isinstance(text, bytes) else text.encode(), digest)


def rsa(text, digest=hashes.SHA256()):
    return RSA.sign(text.encode(), padding.PKCS1v15(), digest)


def ecdsa(text, digest, key=EC):
    return key.sign(text.encode(), ec.ECDSA(digest, deterministic_signing=True))


def jws(header, claims, sign):
    text = b64url(compact(header).encode()) + "." + b64url(compact(claims).encode())
    return text + "." + b64url(sign(text))


def es256(key):
    def sign(text):
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        r, s = decode_dss_signature(ecdsa(text, hashes.SHA256(), key))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return sign


def hs256(text):
    return mac("sha256", KEY, text).digest()


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def keccak256(data):
    """Keccak-256 as Ethereum has it, bit for bit after the Keccak reference."""
    lanes = [[0] * 5 for _ in range(5)]
    rot = lambda a, n: ((a << n) | (a >> (64 - n))) & (2**64 - 1) if n else a

    def permute():
        nonlocal lanes
        r = 1
        for _ in range(24):
            c = [lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in range(5)]
            d = [c[(x + 4) % 5] ^ rot(c[(x + 1) % 5], 1) for x in range(5)]
            lanes = [[lanes[x][y] ^ d[x] for y in range(5)] for x in range(5)]
            x, y, current = 1, 0, lanes[1][0]
            for t in range(24):
                x, y = y, (2 * x + 3 * y) % 5
                current, lanes[x][y] = lanes[x][y], rot(current, (t + 1) * (t + 2) // 2 % 64)
            for y in range(5):
                row = [lanes[x][y] for x in range(5)]
                for x in range(5):
                    lanes[x][y] = row[x] ^ (~row[(x + 1) % 5] & (2**64 - 1) & row[(x + 2) % 5])
            for j in range(7):
                if r & 1:
                    lanes[0][0] ^= 1 << ((1 << j) - 1)
                r = (r << 1) ^ ((r >> 7) * 0x171)

    padded = bytearray(data + b"\x01" + b"\0" * (-(len(data) + 1) % 136))
    padded[-1] |= 0x80
    for at in range(0, len(padded), 136):
        for i in range(17):
            lanes[i % 5][i // 5] ^= int.from_bytes(padded[at + 8 * i:at + 8 * i + 8], "little")
        permute()
    return b"".join(lanes[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


def emit(provider, case, reason, expect, req, of=None):
    v = {"id": f"{provider}-derived-{case}", "provider": provider, "case": case, "reason": reason,
         "method": req.get("method", "POST"), "url": req.get("url", URL), "headers": req["headers"],
         "body_base64": b64(req["body"].encode()), "secrets": req["secrets"], "now": req.get("now", NOW),
         "expect": expect, "grade": "must", "origin_kind": "derived"}
    for name in ("config", "meta"):
        if req.get(name) and (name != "meta" or expect == "accept"):
            v[name] = req[name]
    if expect == "accept":
        v["origin"] = f"python3 derive_code.py, section {provider}"
    else:
        v["derived_from"] = f"{provider}-derived-{of}"
    print(compact(v))


def flip(text):
    """The last letter or digit of text, changed."""
    i = max(i for i, c in enumerate(text) if c.isalnum())
    return text[:i] + ("0" if text[i] != "0" else "1") + text[i + 1:]


def derive(provider, headers, body, event=None, delivery=None, case="valid", config=None, secret=KEY, wrong=None, method="POST",
           url=URL, stamped=False, signature=None, covers_body=True, content="application/json", extra=()):
    """One request as the provider signs, and what must be refused of it: signature
    names the header that has the signature."""
    req = {"headers": [["Content-Type", content]] + headers, "body": body, "secrets": [secret], "method": method, "url": url,
           "config": config, "meta": {k: v for k, v in (("event_type", event), ("delivery_id", delivery)) if v is not None}}
    emit(provider, case, "as the provider signs", "accept", req)

    def no(name, reason, **to):
        emit(provider, f"{case}_{name}" if case != "valid" else name, reason, "reject", {**req, **to}, of=case)
    if covers_body:
        no("body_changed", "one character of the body was changed", body=flip(body))
        no("body_emptied", "the body was removed", body="")
    if wrong:
        no("wrong_secret", "another secret is configured", secrets=[wrong])
    no("empty_secret", "the configured secret is empty", secrets=[""])
    if signature:
        without = [h for h in req["headers"] if h[0] != signature]
        value = next(h[1] for h in req["headers"] if h[0] == signature)
        no("signature_missing", "the header with the signature is missing", headers=without)
        no("signature_empty", "the header with the signature is empty", headers=without + [[signature, ""]])
        no("signature_twice", "the header with the signature stands there twice", headers=req["headers"] + [[signature, value]])
        no("signature_truncated", "the signature lacks its last four characters", headers=without + [[signature, value[:-4]]])
    if stamped:
        no("stale", "more than a day later", now=NOW + 90000)
        no("future", "more than a day earlier", now=NOW - 90000)
    for name, reason, to in extra:
        no(name, reason, **to)
    return req


def swapped(headers, name, value):
    return [["Content-Type", "application/json"]] + [[n, value if n == name else v] for n, v in headers]


# ebay: the header packs key id and signature; the key stands on one line, as the API returns it.
body = '{"metadata":{"topic":"MARKETPLACE_ACCOUNT_DELETION"},"notification":{"notificationId":"n1","data":{"username":"Jürgen"}}}'
packed = {"alg": "ecdsa", "kid": "9936261a-7d7b-4621-a0f1-96ccb428af49", "signature": b64(ecdsa(body, hashes.SHA1())), "digest": "SHA1"}
one_line = "-----BEGIN PUBLIC KEY-----" + spki(EC) + "-----END PUBLIC KEY-----"
derive("ebay", [["X-EBAY-SIGNATURE", b64(compact(packed).encode())]], body, "MARKETPLACE_ACCOUNT_DELETION", "n1", secret=one_line, wrong=pem(OTHER_EC),
       signature="X-EBAY-SIGNATURE", extra=[
    ("other_key_id", "another key id is configured", {"config": {"key_id": "other"}}),
    ("reserialised", "the JSON was written again with other white space", {"body": json.dumps(json.loads(body), ensure_ascii=False)}),
    ("not_packed", "the bare signature without its JSON", {"headers": [["X-EBAY-SIGNATURE", packed["signature"]]]})])
derive("ebay", [["X-EBAY-SIGNATURE", b64(compact(packed).encode())]], body, "MARKETPLACE_ACCOUNT_DELETION", "n1", secret=pem(EC), wrong=pem(OTHER_EC),
       config={"key_id": packed["kid"]}, case="valid_key_id")

# plivo: URL with sorted query, sorted form, nonce.
body, nonce = "To=15551234567&Event=StartApp&CallUUID=c1&To=12&Name=J%C3%BCrgen+X", "05429567804466091622"
url = URL + "?b=2&a=%C3%A9&b=1"
text = URL + "?a=é&b=1&b=2.CallUUIDc1EventStartAppNameJürgen XTo12To15551234567." + nonce
headers = [["X-Plivo-Signature-V3", b64(mac("sha256", "other", text).digest()) + "," + b64(mac("sha256", KEY, text).digest())], ["X-Plivo-Signature-V3-Nonce", nonce]]
derive("plivo", headers, body, "StartApp", "c1", url=url, wrong="other key", signature="X-Plivo-Signature-V3", content=FORM, extra=[
    ("query_changed", "a value of the query was changed", {"url": url[:-1] + "3"}),
    ("path_changed", "a slash was put behind the path", {"url": url.replace("?", "/?")}),
    ("port_added", "the URL has its port written out", {"url": url.replace(".test", ".test:443")}),
    ("nonce_changed", "another nonce", {"headers": swapped(headers, "X-Plivo-Signature-V3-Nonce", "1")}),
    ("nonce_missing", "no nonce", {"headers": headers[:1]}),
    ("v2_pinned", "the source takes v2 only", {"config": {"variant": "v2"}})])
text = URL + "?CallUUID=c2&Event=Hangup." + nonce
derive("plivo", [["X-Plivo-Signature-V3", b64(mac("sha256", KEY, text).digest())], ["X-Plivo-Signature-V3-Nonce", nonce]], "", "Hangup", "c2",
       url=URL + "?Event=Hangup&CallUUID=c2", method="GET", wrong="other key", covers_body=False, case="valid_get", content="text/plain", extra=[
    ("with_body", "a GET with a body, which nobody signed", {"body": "Event=Start"})])
derive("plivo", [["X-Plivo-Signature-V2", b64(mac("sha256", KEY, URL + nonce).digest())], ["X-Plivo-Signature-V2-Nonce", nonce]], "Event=Start&CallUUID=c3", "Start", "c3",
       url=URL + "?x=1", config={"variant": "v2"}, wrong="other key", covers_body=False, case="valid_v2", content=FORM, signature="X-Plivo-Signature-V2", extra=[
    ("path_changed", "another path", {"url": URL + "/x"}),
    ("not_chosen", "the source takes v3, as it does unless told otherwise", {"config": {"variant": "v3"}})])

# hygraph: the body inside a JSON string.
body = '{"operation":"publish","data":{"title":"“Größe” <b>\\n\\u2028</b>","path":"a\\\\b\\/"}}\r\n\t'
text = '{"Body":' + json.dumps(body, ensure_ascii=False) + ',"EnvironmentName":"master","TimeStamp":' + str(NOW * 1000) + "}"
sig = b64(mac("sha256", KEY, text).digest())
head = f"sign={sig}, env=master, t={NOW * 1000}"
derive("hygraph", [["gcms-signature", head]], body, "publish", wrong="other key", stamped=True, signature="gcms-signature", extra=[
    ("environment_changed", "another environment", {"headers": [["gcms-signature", head.replace("master", "staging")]]}),
    ("environment_missing", "no environment", {"headers": [["gcms-signature", f"sign={sig}, t={NOW * 1000}"]]}),
    ("time_moved", "the time was changed by a millisecond", {"headers": [["gcms-signature", head[:-1] + "1"]]}),
    ("time_garbage", "text behind the time", {"headers": [["gcms-signature", head + "abc"]]}),
    ("reserialised", "the JSON was written again", {"body": compact(json.loads(body))})])

# paypal: a CRC-32 in place of the body; the certificate is configured.
name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.example.test")])
certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(RSA.public_key()).serial_number(1)
               .not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(datetime.datetime(2028, 1, 1)).sign(RSA, hashes.SHA256()))
cert_pem = certificate.public_bytes(serialization.Encoding.PEM).decode().strip()
body = '{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"amount":{"value":"10.00"}}}'
headers = [["PAYPAL-TRANSMISSION-ID", "b5b9"], ["PAYPAL-TRANSMISSION-TIME", ISO], ["PAYPAL-AUTH-ALGO", "SHA256withRSA"],
           ["PAYPAL-CERT-URL", "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"],
           ["PAYPAL-TRANSMISSION-SIG", b64(rsa(f"b5b9|{ISO}|1JE4291016473214C|{zlib.crc32(body.encode())}"))]]
derive("paypal", headers, body, "PAYMENT.CAPTURE.COMPLETED", "WH-1", config={"webhook_id": "1JE4291016473214C"}, secret=cert_pem,
       stamped=True, signature="PAYPAL-TRANSMISSION-SIG", extra=[
    ("other_webhook", "the source has another webhook id", {"config": {"webhook_id": "OTHER"}}),
    ("other_algorithm", "the request names another algorithm", {"headers": swapped(headers, "PAYPAL-AUTH-ALGO", "SHA1withRSA")}),
    ("id_changed", "another transmission id", {"headers": swapped(headers, "PAYPAL-TRANSMISSION-ID", "b5b8")})])

# circle
body = '{"subscriptionId":"s1","notificationId":"n1","notificationType":"transactions.outbound","notification":{"amounts":["1.50"]}}'
headers = [["X-Circle-Key-Id", "879dc113-5ca4-4ff7-a6b7-54652083fcf8"], ["X-Circle-Signature", b64(ecdsa(body, hashes.SHA256()))]]
derive("circle", headers, body, "transactions.outbound", "n1", secret=spki(EC), wrong=spki(OTHER_EC), signature="X-Circle-Signature", extra=[
    ("other_key_id", "another key id is configured", {"config": {"key_id": "other"}}),
    ("other_hash", "signed over SHA-1", {"headers": swapped(headers, "X-Circle-Signature", b64(ecdsa(body, hashes.SHA1())))})])

# connectwise_psa: the key is the hash of the secret.
body = '{"MessageId":"m1","Type":"company","Action":"updated","ID":250}'
headers = [["x-content-signature", b64(mac("sha256", hashlib.sha256(KEY.encode()).digest(), body).digest())]]
derive("connectwise_psa", headers, body, "company.updated", wrong="other key", signature="x-content-signature", extra=[
    ("key_not_hashed", "signed with the secret itself", {"headers": [["x-content-signature", b64(mac("sha256", KEY, body).digest())]]})])

# nowpayments: the JSON with its names sorted, numbers as they are written.
body = '{"payment_status":"finished","payment_id":123456789,"fee":{"withdrawalFee":0,"currency":"btc","depositFee":1.10},"a":["z",{"y":1,"x":null}],"note":"Größe/"}'
sorted_body = '{"a":["z",{"x":null,"y":1}],"fee":{"currency":"btc","depositFee":1.10,"withdrawalFee":0},"note":"Größe/","payment_id":123456789,"payment_status":"finished"}'
sig = mac("sha512", KEY, sorted_body).hexdigest()
derive("nowpayments", [["x-nowpayments-sig", sig]], body, "finished", "123456789", wrong="other key", signature="x-nowpayments-sig", extra=[
    ("number_rewritten", "1.10 became 1.1", {"body": body.replace("1.10", "1.1")}),
    ("name_twice", "a name stands there twice, the signed value last", {"body": body.replace('"fee"', '"note":"x","fee"')}),
    ("signed_raw", "signed over the body as it is", {"headers": [["x-nowpayments-sig", mac("sha512", KEY, body).hexdigest()]]}),
    ("two_values", "a second value behind the JSON", {"body": body + "{}"})])

# coinbase_cdp: v0 over time and body, v1 over listed headers as well.
body = '{"eventType":"onchain.activity.detected","network":"base-mainnet"}'
v0 = mac("sha256", KEY, f"{NOW}.{body}").hexdigest()
listed = mac("sha256", KEY, f"{NOW}.content-type x-event-id.application/json.e1.{body}").hexdigest()
headers = [["x-event-id", "e1"], ["X-Hook0-Signature", f"t={NOW},v0={v0},h=content-type x-event-id,v1={listed}"]]
derive("coinbase_cdp", headers, body, "onchain.activity.detected", "e1", wrong="other key", stamped=True, extra=[
    ("time_moved", "another time", {"headers": swapped(headers, "X-Hook0-Signature", headers[1][1].replace(f"t={NOW}", f"t={NOW + 1}"))})])
headers = [["x-event-id", "e1"], ["X-Hook0-Signature", f"t={NOW},h=content-type x-event-id,v1={listed}"]]
derive("coinbase_cdp", headers, body, "onchain.activity.detected", "e1", wrong="other key", stamped=True, case="valid_v1", signature="X-Hook0-Signature", extra=[
    ("header_changed", "a listed header was changed", {"headers": swapped(headers, "x-event-id", "e2")}),
    ("header_missing", "a listed header is missing", {"headers": headers[1:]}),
    ("list_shortened", "the list was shortened", {"headers": swapped(headers, "X-Hook0-Signature", f"t={NOW},h=content-type,v1={listed}")})])

# atlassian_connect: a token over method, path and query.
query = "b=2&a=x+y&b=1&a%2Fc=%7E%2A"
canonical = "POST&/webhook&a=x%20y&a%2Fc=~%2A&b=1,2"
claims = {"iss": "client-1", "iat": NOW, "exp": NOW + 180, "qsh": hashlib.sha256(canonical.encode()).hexdigest()}
token = lambda c, header={"typ": "JWT", "alg": "HS256"}: "JWT " + jws(header, c, hs256)
url = "https://hooks.example.test/in/source/webhook/?" + query
body = '{"timestamp":1,"webhookEvent":"jira:issue_created"}'
derive("atlassian_connect", [["Authorization", token(claims)]], body, "jira:issue_created", config={"client_key": "client-1", "base_path": "/in/source"}, url=url,
       wrong="other key", covers_body=False, signature="Authorization", extra=[
    ("query_changed", "a value of the query was changed", {"url": url[:-1] + "B"}),
    ("method_changed", "another method", {"method": "PUT"}),
    ("other_client", "another installation", {"headers": [["Authorization", token({**claims, "iss": "client-2"})]]}),
    ("context_token", "a token that is for no request in particular", {"headers": [["Authorization", token({**claims, "qsh": "context-qsh"})]]}),
    ("no_qsh", "a token without the claim", {"headers": [["Authorization", token({k: v for k, v in claims.items() if k != "qsh"})]]}),
    ("alg_none", "a token without signature", {"headers": [["Authorization", "JWT " + jws({"alg": "none"}, claims, lambda _: b"")]]}),
    ("expired", "after the token's time", {"now": NOW + 300})])


# apple: a token that brings its certificates.
def chained(subject, key, issuer, issuer_key, oid=None, ca=True, serial=1):
    builder = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
               .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])).public_key(key.public_key()).serial_number(serial)
               .not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(datetime.datetime(2028, 1, 1))
               .add_extension(x509.BasicConstraints(ca, None), True))
    if oid:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00"), False)
    return builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True)


LEAF, RELATIONS = "1.2.840.113635.100.6.11.1", "1.2.840.113635.100.6.2.1"
inter_key, leaf_key = ec.derive_private_key(0x1111, ec.SECP256R1()), ec.derive_private_key(0x2222, ec.SECP256R1())
root = chained("Root", EC, "Root", EC)
inter = chained("Intermediate", inter_key, "Root", EC, RELATIONS, serial=2)
leaf = chained("Leaf", leaf_key, "Intermediate", inter_key, LEAF, False, serial=3)
plain_leaf = chained("Leaf", leaf_key, "Intermediate", inter_key, None, False, serial=4)
other_root = chained("Root", OTHER_EC, "Root", OTHER_EC)
other_inter = chained("Intermediate", inter_key, "Root", OTHER_EC, RELATIONS, serial=5)
der = lambda *all: [b64(c.public_bytes(serialization.Encoding.DER)) for c in all]
apple = {"notificationType": "DID_RENEW", "subtype": "BILLING_RECOVERY", "notificationUUID": "u1", "version": "2.0", "signedDate": NOW * 1000, "data": {"bundleId": "com.example"}}
payload = lambda chain, claims=apple, alg="ES256", key=leaf_key: compact({"signedPayload": jws({"alg": alg, "x5c": chain}, claims, es256(key))})
root_pem = root.public_bytes(serialization.Encoding.PEM).decode().strip()
derive("apple", [], payload(der(leaf, inter, root)), "DID_RENEW", "u1", secret=root_pem, wrong=pem(OTHER_EC), stamped=True, extra=[
    ("other_root", "a chain of somebody else", {"body": payload(der(leaf, other_inter, other_root))}),
    ("root_pasted", "the right root under a chain of somebody else", {"body": payload(der(leaf, other_inter, root))}),
    ("not_app_store", "a certificate that is not for the App Store", {"body": payload(der(plain_leaf, inter, root))}),
    ("two_certificates", "a chain without its root", {"body": payload(der(leaf, inter))}),
    ("other_leaf_key", "signed with another key", {"body": payload(der(leaf, inter, root), key=inter_key)}),
    ("other_algorithm", "the token names another algorithm", {"body": payload(der(leaf, inter, root), alg="HS256")}),
    ("no_date", "no signedDate", {"body": payload(der(leaf, inter, root), {"notificationType": "TEST", "notificationUUID": "u1"})}),
    ("certificate_expired", "after the certificates' time", {"now": 1900000000})])

# wix: the body is a token.
wix = {"data": compact({"eventType": "wix.ecom.v1.order_created", "instanceId": "i1", "data": "{}"}), "iat": NOW, "exp": NOW + 3600}
rs256 = lambda text: rsa(text)
body = jws({"alg": "RS256", "typ": "JWT"}, wix, rs256)
derive("wix", [], body, "wix.ecom.v1.order_created", secret=pem(RSA), content="text/plain", extra=[
    ("key_as_hmac", "HS256 with the public key as its secret", {"body": jws({"alg": "HS256"}, wix, lambda text: mac("sha256", pem(RSA), text).digest())}),
    ("alg_none", "a token without signature", {"body": jws({"alg": "none"}, wix, lambda _: b"")}),
    ("no_expiry", "a token that is good for ever", {"body": jws({"alg": "RS256"}, {"data": "{}"}, rs256)}),
    ("expired", "after the token's time", {"now": NOW + 7200})])

# moralis
body = '{"confirmed":true,"chainId":"0x1","tag":"transfers","streamId":"s1"}'
derive("moralis", [["x-signature", "0x" + keccak256((body + KEY).encode()).hex()]], body, "transfers", wrong="other key", signature="x-signature", extra=[
    ("sha3", "hashed with SHA3-256", {"headers": [["x-signature", "0x" + hashlib.sha3_256((body + KEY).encode()).hexdigest()]]}),
    ("secret_first", "hashed with the secret in front", {"headers": [["x-signature", "0x" + keccak256((KEY + body).encode()).hex()]]})])

# plaid: a token with the hash of the body.
body = '{\n  "webhook_type": "TRANSACTIONS",\n  "webhook_code": "SYNC_UPDATES_AVAILABLE"\n}'
point = lambda key: key.public_key().public_numbers()
jwk = lambda key: compact({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bfbd5111",
                           "x": b64url(point(key).x.to_bytes(32, "big")), "y": b64url(point(key).y.to_bytes(32, "big"))})
claims = {"iat": NOW, "request_body_sha256": hashlib.sha256(body.encode()).hexdigest()}
header = {"alg": "ES256", "kid": "bfbd5111", "typ": "JWT"}
derive("plaid", [["Plaid-Verification", jws(header, claims, es256(EC))]], body, "TRANSACTIONS.SYNC_UPDATES_AVAILABLE", secret=jwk(EC), wrong=jwk(OTHER_EC), stamped=True,
       signature="Plaid-Verification", extra=[
    ("no_body_hash", "a token without the hash of the body", {"headers": [["Plaid-Verification", jws(header, {"iat": NOW}, es256(EC))]]}),
    ("alg_none", "a token without signature", {"headers": [["Plaid-Verification", jws({"alg": "none"}, claims, lambda _: b"")]]})])

# travis_ci: RSA with SHA-1 over a field of the form.
payload = '{"id":183791261,"state":"passed","repository":{"name":"minimal"},"message":"ü & +"}'
body = "payload=" + urllib.parse.quote_plus(payload)
derive("travis_ci", [["Signature", b64(rsa(payload, hashes.SHA1()))], ["Travis-Repo-Slug", "svenfuchs/minimal"]], body, "passed", "183791261", secret=pem(RSA), content=FORM,
       signature="Signature", extra=[
    ("field_twice", "the field stands there twice", {"body": body + "&payload=x"}),
    ("signed_form", "signed over the form", {"headers": [["Signature", b64(rsa(body, hashes.SHA1()))]]})])

# fal_ai: Ed25519 over ids, time and the hash of the body.
body = '{"request_id":"r1","status":"OK","payload":{"seed":196619188014358660}}'
text = f"r1\nu1\n{NOW}\n" + hashlib.sha256(body.encode()).hexdigest()
headers = [["X-Fal-Webhook-Request-Id", "r1"], ["X-Fal-Webhook-User-Id", "u1"], ["X-Fal-Webhook-Timestamp", str(NOW)], ["X-Fal-Webhook-Signature", ED.sign(text.encode()).hex()]]
public = ED.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
derive("fal_ai", headers, body, "OK", "r1", secret=b64url(public), wrong=b64url(bytes(31) + b"\x01"), stamped=True, signature="X-Fal-Webhook-Signature", extra=[
    ("other_user", "another account is configured", {"config": {"user_id": "u2"}}),
    ("user_changed", "the account was changed", {"headers": swapped(headers, "X-Fal-Webhook-User-Id", "u2")})])

# mailchannels: an HTTP message signature (RFC 9421) over the digest of the body.
body = '[{"email":"sender@example.test","event":"processed","request_id":"r1"},{"event":"delivered","request_id":"r1"}]'
digest = "sha-256=:" + b64(hashlib.sha256(body.encode()).digest()) + ":"
params = f'("content-digest");created={NOW};alg="ed25519";keyid="mckey"'
bare = f'();created={NOW};alg="ed25519";keyid="mckey"'
sign = lambda params, lines: "sig_1=:" + b64(ED.sign((lines + '"@signature-params": ' + params).encode())) + ":"
headers = [["Content-Digest", digest], ["Signature-Input", "sig_1=" + params], ["Signature", sign(params, f'"content-digest": {digest}\n')]]
derive("mailchannels", headers, body, "processed", "r1", secret=spki(ED), wrong=spki(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))), stamped=True,
       signature="Signature", extra=[
    ("time_moved", "another time", {"headers": swapped(headers, "Signature-Input", "sig_1=" + params.replace(str(NOW), str(NOW + 1)))}),
    ("digest_unsigned", "a right signature that does not cover the digest", {"headers": [headers[0], ["Signature-Input", "sig_1=" + bare], ["Signature", sign(bare, "")]]}),
    ("digest_missing", "no digest", {"headers": headers[1:]}),
    ("other_label", "input and signature under different names", {"headers": swapped(headers, "Signature-Input", "sig_2=" + params)})])

# shipengine: RSA over time and body.
body = '{"resource_type":"API_TRACK","data":{"tracking_number":"1Z"}}'
headers = [["x-shipengine-timestamp", ISO], ["x-shipengine-rsa-sha256-key-id", "k1"], ["x-shipengine-rsa-sha256-signature", b64(rsa(f"{ISO}.{body}"))]]
derive("shipengine", headers, body, "API_TRACK", secret=pem(RSA), stamped=True, signature="x-shipengine-rsa-sha256-signature", extra=[
    ("time_moved", "another time", {"headers": swapped(headers, "x-shipengine-timestamp", ISO[:-2] + "1Z")})])
