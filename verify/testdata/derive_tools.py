"""Makes signed requests, and changed ones, for derive.py."""
import base64
import json
import subprocess
import sys

NOW = 1795000000  # Unix seconds, 2026-11-18T11:06:40Z
ISO = "2026-11-18T11:06:40Z"
RFC1123 = "Wed, 18 Nov 2026 11:06:40 GMT"
MS = str(NOW * 1000)
URL = "https://hooks.example.test/in/source"
TEXT_KEY = "derived-secret-0123456789abcdef"
HEX_KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
B64_KEY = base64.b64encode(bytes(range(32, 64))).decode()
RSA_KEY = "derive_rsa.pem"

out = []


def run(command):
    return subprocess.run(["bash", "-c", command], check=True, capture_output=True).stdout.decode().strip()


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def encoder(encoding):
    return {"hex": "od -An -v -tx1 | tr -d ' \\n'", "base64": "base64 -w0",
            "base64url": "base64 -w0 | tr '+/' '-_' | tr -d '='", "HEX": "od -An -v -tx1 | tr -d ' \\n' | tr a-f A-F"}[encoding]


def hmac_command(text, key, form="utf8", digest="sha256", encoding="hex"):
    if form == "utf8":
        option = "-hmac " + quote(key)
    else:
        raw = bytes.fromhex(key) if form == "hex" else base64.b64decode(key)
        option = "-mac HMAC -macopt hexkey:" + raw.hex()
    return f"printf '%s' {quote(text)} | openssl dgst -{digest} {option} -binary | {encoder(encoding)}"


def hash_command(text, digest, encoding="hex"):
    return f"printf '%s' {quote(text)} | openssl dgst -{digest} -binary | {encoder(encoding)}"


def rsa_command(text, digest):
    return f"printf '%s' {quote(text)} | openssl dgst -{digest} -sign {RSA_KEY} | base64 -w0"


def emit(provider, case, reason, expect, req, origin=None, of=None):
    v = {"id": f"{provider}-derived-{case}", "provider": provider, "case": case, "reason": reason,
         "method": req["method"], "url": req["url"], "headers": req["headers"],
         "body_base64": base64.b64encode(as_bytes(req["body"])).decode(), "secrets": req["secrets"], "now": req["now"],
         "expect": expect, "grade": "must", "origin_kind": "derived"}
    for name in ("config", "meta"):
        if req.get(name) and (name != "meta" or expect == "accept"):
            v[name] = req[name]
    if origin:
        v["origin"] = origin
    if of:
        v["derived_from"] = f"{provider}-derived-{of}"
    out.append(v)


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def changed(req, **to):
    return {**req, **to}


def with_header(req, name, value):
    """req with the header's value replaced; without it for None."""
    return changed(req, headers=[[n, value if n == name else v] for n, v in req["headers"] if n != name or value is not None])


def value_of(req, name):
    return next(v for n, v in req["headers"] if n == name)


def flip(text):
    """The last letter or digit of text, changed."""
    i = max(i for i, c in enumerate(text) if c.isalnum())
    return text[:i] + ("0" if text[i] != "0" else "1") + text[i + 1:]


def reencoded(signature, encoding):
    """The same digest in an encoding that the provider does not use."""
    raw = bytes.fromhex(signature) if encoding in ("hex", "HEX") else base64.urlsafe_b64decode(signature.replace("+", "-").replace("/", "_") + "=" * (-len(signature) % 4))
    return base64.b64encode(raw).decode() if encoding in ("hex", "HEX") else raw.hex()


def rejects(provider, req, header, signature, encoding, stamped, body_signed=True, other=True, wrong=None, case="valid", repeated=False):
    """What must be rejected, made of a request that must be accepted."""
    def no(name, reason, r):
        emit(provider, f"{case}-{name}" if case != "valid" else name, reason, "reject", r, of=case)
    if body_signed:
        no("body_changed", "one character of the body was changed", changed(req, body=flip(req["body"])))
        no("body_newline", "a line feed was put behind the body", changed(req, body=req["body"] + "\n"))
    no("wrong_secret", "another secret is configured", changed(req, secrets=[wrong or flip(req["secrets"][0])]))
    no("empty_secret", "the configured secret is empty", changed(req, secrets=[""]))
    if header:
        whole = value_of(req, header)
        no("signature_missing", "the header with the signature is missing", with_header(req, header, None))
        no("signature_truncated", "the signature lacks its last two characters", with_header(req, header, whole.replace(signature, signature[:-2])))
        if other:
            no("other_encoding", "the right digest in another encoding", with_header(req, header, whole.replace(signature, reencoded(signature, encoding))))
        if not repeated:
            no("header_twice", "the header stands there twice, right and empty of sense",
               changed(req, headers=req["headers"] + [[header, whole.replace(signature, flip(signature[::-1]))]]))
    if stamped:
        no("stale", "one hour and a day later", changed(req, now=req["now"] + 90000))
        no("future", "one hour and a day earlier", changed(req, now=req["now"] - 90000))


def hmac(provider, header, body, event=None, delivery=None, text="{body}", digest="sha256", encoding="hex", value="{sig}",
         form="utf8", secret=None, key=None, stamp=None, headers=(), url=URL, other=True, body_signed=True, plain=False,
         secrets=None, content="application/json", case="valid", config=None, repeated=False, wrong=None, rejecting=True):
    """A header with an HMAC (or, if plain, a hash) of a text."""
    body = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    secret = secret or {"utf8": TEXT_KEY, "hex": HEX_KEY, "base64": B64_KEY}[form]
    signed = text.replace("{url}", url).replace("{ts}", stamp or "").replace("{secret}", secret).replace("{body}", body)
    command = hash_command(signed, digest, encoding) if plain else hmac_command(signed, key or secret, form, digest, encoding)
    signature = run(command)
    head = [["Content-Type", content]] + [[n, v.replace("{ts}", stamp or "")] for n, v in headers]
    if header:
        head.append([header, value.replace("{sig}", signature).replace("{ts}", stamp or "")])
    else:
        body = body.replace("{sig}", signature)
    req = {"method": "POST", "url": url, "headers": head, "body": body, "secrets": secrets or [secret], "now": NOW, "config": config,
           "meta": {k: v for k, v in (("event_type", event), ("delivery_id", delivery)) if v is not None}}
    emit(provider, case, "as the provider signs", "accept", req, origin=command)
    if rejecting:
        if wrong is None and form == "base64":
            wrong = base64.b64encode(bytes(range(1, 33))).decode()
        rejects(provider, req, header, signature, encoding, stamp, body_signed, other, wrong, case, repeated)
    return req


def token(provider, header, body, event=None, delivery=None, value="{sig}", headers=(), url=URL, config=None, case="valid", secret=TEXT_KEY,
          content="application/json", rejecting=True, sent=None):
    """A shared token, or user:password of basic authentication, that signs nothing."""
    body = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    sent = sent or secret
    command = f"printf '%s' {quote(secret)}" + (" | base64 -w0" if value.startswith("Basic") else "")
    text = run(command) if sent == secret else sent
    req = {"method": "POST", "url": url.replace("{sig}", text), "headers": [["Content-Type", content]] + [list(h) for h in headers],
           "body": body.replace("{sig}", text), "secrets": [secret], "now": NOW, "config": config,
           "meta": {k: v for k, v in (("event_type", event), ("delivery_id", delivery)) if v is not None}}
    if header:
        req["headers"].append([header, value.replace("{sig}", text)])
    emit(provider, case, "as the provider sends it", "accept", req, origin=command)
    if not rejecting:
        return req
    def no(name, reason, r):
        emit(provider, f"{case}-{name}" if case != "valid" else name, reason, "reject", r, of=case)
    no("wrong_secret", "another secret is configured", changed(req, secrets=[flip(secret)]))
    no("empty_secret", "the configured secret is empty", changed(req, secrets=[""]))
    if header:
        no("token_missing", "the header with the token is missing", with_header(req, header, None))
        no("token_changed", "the last character of the token is another", with_header(req, header, flip(value.replace("{sig}", text))))
        no("token_longer", "the token has a character more", with_header(req, header, value.replace("{sig}", text + "A")))
        no("header_twice", "the header stands there twice", changed(req, headers=req["headers"] + [[header, "x"]]))
    else:
        no("token_changed", "the last character of the token is another", changed(req, url=req["url"].replace(text, flip(text)), body=req["body"].replace(text, flip(text))))
        no("token_shorter", "the token lacks its last character", changed(req, url=req["url"].replace(text, text[:-1]), body=req["body"].replace(text, text[:-1])))
    return req


def b64url(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()).rstrip(b"=").decode()


def jwt(provider, header, body, claims, event=None, delivery=None, value="{sig}", algorithm="HS256", config=None, case="valid", bad=(), body_signed=False, headers=()):
    """A JSON Web Token; bad are [name, reason, claims] that must be rejected."""
    body = json.dumps(body, separators=(",", ":"))
    public = run(f"openssl pkey -in {RSA_KEY} -pubout") + "\n"
    secret = TEXT_KEY if algorithm == "HS256" else public

    def made(claims, algorithm=algorithm, key=secret):
        text = b64url({"alg": algorithm, "typ": "JWT"}) + "." + b64url(claims)
        if algorithm == "none":
            return text + ".", None
        command = hmac_command(text, key, encoding="base64url") if algorithm == "HS256" else \
            f"printf '%s' {quote(text)} | openssl dgst -sha256 -sign {RSA_KEY} | {encoder('base64url')}"
        return text + "." + run(command), command

    signed, command = made(claims)
    req = {"method": "POST", "url": URL, "headers": [["Content-Type", "application/json"]] + [list(h) for h in headers] + [[header, value.replace("{sig}", signed)]],
           "body": body, "secrets": [secret], "now": NOW, "config": config,
           "meta": {k: v for k, v in (("event_type", event), ("delivery_id", delivery)) if v is not None}}
    emit(provider, case, "as the provider signs", "accept", req, origin=command)

    def no(name, reason, r):
        emit(provider, f"{case}-{name}" if case != "valid" else name, reason, "reject", r, of=case)
    no("alg_none", "a token without signature", with_header(req, header, value.replace("{sig}", made(claims, "none")[0])))
    if algorithm != "HS256":
        no("hmac_with_public_key", "HS256 under the text of the public key", with_header(req, header, value.replace("{sig}", made(claims, "HS256", public.replace("\n", "\\n"))[0])))
    else:
        no("wrong_secret", "another secret is configured", changed(req, secrets=[flip(secret)]))
    no("empty_secret", "the configured secret is empty", changed(req, secrets=[""]))
    no("token_missing", "the header with the token is missing", with_header(req, header, None))
    no("signature_truncated", "the signature lacks its last two characters", with_header(req, header, value.replace("{sig}", signed[:-2])))
    if body_signed:
        no("body_changed", "one character of the body was changed", changed(req, body=flip(body)))
    for name, reason, c in bad:
        no(name, reason, with_header(req, header, value.replace("{sig}", made(c)[0])))


def rsa(provider, header, body, event=None, delivery=None, digest="sha256", headers=()):
    """An RSA signature (PKCS #1 v1.5) of the body under the fixed test key."""
    body = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    command = rsa_command(body, digest)
    signature = run(command)
    public = run(f"openssl pkey -in {RSA_KEY} -pubout") + "\n"
    req = {"method": "POST", "url": URL, "headers": [["Content-Type", "application/json"]] + [list(h) for h in headers] + [[header, signature]],
           "body": body, "secrets": [public], "now": NOW, "meta": {k: v for k, v in (("event_type", event), ("delivery_id", delivery)) if v is not None}}
    emit(provider, "valid", "as the provider signs", "accept", req, origin=command)
    other = run(f"printf '%s' {quote(body)} | openssl dgst -{'sha512' if digest == 'sha256' else 'sha256'} -sign {RSA_KEY} | base64 -w0")
    mac = run(hmac_command(body, public.replace("\n", "\\n"), encoding="base64"))
    for name, reason, r in [
            ("body_changed", "one character of the body was changed", changed(req, body=flip(body))),
            ("other_hash", "the right key with another hash function", with_header(req, header, other)),
            ("hmac_with_public_key", "an HMAC under the text of the public key", with_header(req, header, mac)),
            ("other_encoding", "the signature in hexadecimal", with_header(req, header, base64.b64decode(signature).hex())),
            ("signature_missing", "the header with the signature is missing", with_header(req, header, None)),
            ("empty_secret", "no key is configured", changed(req, secrets=[""]))]:
        emit(provider, name, reason, "reject", r, of="valid")


def standard(provider, prefix, body, event, secret_prefix="whsec_", names=None, bare=False):
    """Standard Webhooks, under any header names."""
    name = names or [f"{prefix}-id", f"{prefix}-timestamp", f"{prefix}-signature"]
    secret = ("" if bare else secret_prefix) + B64_KEY
    wrong = ("" if bare else secret_prefix) + base64.b64encode(bytes(range(1, 33))).decode()
    hmac(provider, name[2], body, event, "msg_2derived", text="msg_2derived.{ts}.{body}", encoding="base64", value="v1,{sig}", form="base64", key=B64_KEY,
         secret=secret, stamp=str(NOW), headers=[[name[0], "msg_2derived"], [name[1], "{ts}"]], wrong=wrong)


def stripe_like(provider, header, body, event=None, delivery=None, stamp=str(NOW), value="t={ts},v1={sig}", text="{ts}.{body}", **more):
    hmac(provider, header, body, event, delivery, text=text, value=value, stamp=stamp, **more)


def write():
    for vector in out:
        sys.stdout.write(json.dumps(vector, ensure_ascii=False, separators=(",", ":")) + "\n")
