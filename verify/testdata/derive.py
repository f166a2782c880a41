#!/usr/bin/env python3
"""Makes derived.jsonl: signed requests of providers whose SDK was not run.

What is known of each provider stands here; derive_tools.py makes the signatures
with openssl and coreutils alone, never with this project's own code, and notes
the command as origin. Keys and times are fixed, so that a second run gives the
same file:

    cd verify/testdata && python3 -B derive.py > derived.jsonl

Every request that must be accepted is followed by some that must be rejected.
"""
import hashlib
import json

from derive_tools import (B64_KEY, ISO, HEX_KEY, MS, NOW, RFC1123, TEXT_KEY, URL, changed, emit, hash_command, hmac, hmac_command,
                          jwt, rsa, run, standard, stripe_like, token, with_header, write)


# Signed by an HMAC of the body, or of the body and a time.
hmac("twitter", "x-twitter-webhooks-signature", {"for_user_id": "4337869213", "follow_events": [{"type": "follow", "created_timestamp": MS}]}, "follow_events", encoding="base64", value="sha256={sig}")
hmac("zendesk", "X-Zendesk-Webhook-Signature", {"type": "zen:event-type:user.created", "id": "e1"}, "zen:event-type:user.created", "inv_1", text="{ts}{body}", encoding="base64", stamp=ISO,
     headers=[["X-Zendesk-Webhook-Signature-Timestamp", "{ts}"], ["X-Zendesk-Webhook-Invocation-Id", "inv_1"]])
stripe_like("calendly", "Calendly-Webhook-Signature", {"event": "invitee.created", "payload": {"email": "ana@example.test"}}, "invitee.created")
hmac("jira", "X-Hub-Signature", {"timestamp": NOW, "webhookEvent": "jira:issue_updated", "issue": {"key": "ÄB-1"}}, "jira:issue_updated", "wh-1", value="sha256={sig}", headers=[["X-Atlassian-Webhook-Identifier", "wh-1"]])
hmac("intercom", "X-Hub-Signature", {"type": "notification_event", "topic": "user.created", "id": "notif_1"}, "user.created", "notif_1", digest="sha1", value="sha1={sig}")
hmac("asana", "X-Hook-Signature", {"events": [{"action": "changed", "resource": {"gid": "1337"}}]}, "changed")
hmac("trello", "x-trello-webhook", {"action": {"id": "51f9424bcd6e040f3c002412", "type": "updateCard"}}, "updateCard", "51f9424bcd6e040f3c002412", text="{body}{url}", digest="sha1", encoding="base64")
hmac("xero", "x-xero-signature", {"events": [{"resourceId": "717f2bfc", "eventCategory": "CONTACT", "eventType": "UPDATE"}], "firstEventSequence": 1}, "CONTACT.UPDATE", encoding="base64")
hmac("airtable", "X-Airtable-Content-MAC", {"base": {"id": "app1"}, "webhook": {"id": "ach1"}, "timestamp": ISO}, form="base64", value="hmac-sha256={sig}", other=False)
hmac("airtable", "X-Airtable-Content-MAC", {"base": {"id": "app1"}, "webhook": {"id": "ach1"}, "timestamp": ISO}, form="base64", encoding="base64", value="hmac-sha256={sig}", other=False, case="valid_base64")
stripe_like("recurly", "recurly-signature", {"id": "n1", "object_type": "account", "event_type": "created"}, "created", "n1", stamp=MS, value="{ts},{sig}", headers=[["recurly-notification-id", "n1"]])
hmac("recurly", "recurly-signature", {"event_type": "created"}, "created", text="{ts}.{body}", stamp=str(NOW), value="{ts}," + "0" * 64 + ",{sig}", case="valid_rotated")
hmac("checkout_com", "Cko-Signature", {"id": "evt_1", "type": "payment_approved"}, "payment_approved", "evt_1")
hmac("lemon_squeezy", "X-Signature", {"meta": {"event_name": "order_created"}, "data": {"id": "1"}}, "order_created", headers=[["X-Event-Name", "order_created"]])
hmac("dwolla", "X-Request-Signature-SHA-256", {"id": "80d8ff7d", "topic": "customer_created"}, "customer_created", "80d8ff7d", headers=[["X-Dwolla-Topic", "customer_created"]])
hmac("sentry", "Sentry-Hook-Signature", {"action": "created", "data": {"issue": {"id": "1"}}}, "issue.created", "req1", headers=[["Sentry-Hook-Resource", "issue"], ["Request-ID", "req1"], ["Sentry-Hook-Timestamp", "1"]])
hmac("clickup", "X-Signature", {"event": "taskUpdated", "history_items": [{"id": "2800763136717140857"}], "task_id": "1vj38vv", "webhook_id": "7fa3ec74"}, "taskUpdated", "7fa3ec74.2800763136717140857")
hmac("npm", "x-npm-signature", {"event": "package:publish", "name": "left-pad"}, "package:publish", value="sha256={sig}")
hmac("dub", "dub-signature", {"id": "evt_1", "event": "link.created"}, "link.created", "evt_1")
hmac("customer_io", "X-CIO-Signature", {"event_id": "01E4C4CT6YDC7Y5M7FE1GWWPQJ", "object_type": "email", "metric": "sent"}, "email.sent", "01E4C4CT6YDC7Y5M7FE1GWWPQJ", text="v0:{ts}:{body}", stamp=str(NOW), headers=[["X-CIO-Timestamp", "{ts}"]])
hmac("sinch", "x-sinch-webhook-signature", {"app_id": "a1"}, None, "01GJ", text="{body}.01GJ.{ts}", encoding="base64", stamp=str(NOW), headers=[["x-sinch-webhook-signature-nonce", "01GJ"], ["x-sinch-webhook-signature-timestamp", "{ts}"], ["x-sinch-webhook-signature-algorithm", "HmacSHA256"]])
hmac("front", "X-Front-Signature", {"type": "inbound_received", "id": "msg_1"}, "inbound_received", "msg_1", text="{ts}:{body}", encoding="base64", stamp=MS, headers=[["X-Front-Request-Timestamp", "{ts}"]])
hmac("paystack", "x-paystack-signature", {"event": "charge.success", "data": {"id": 302961}}, "charge.success", "302961", digest="sha512")
hmac("authorize_net", "X-ANET-Signature", {"notificationId": "d0e8e7fe", "eventType": "net.authorize.customer.created"}, "net.authorize.customer.created", "d0e8e7fe", digest="sha512", form="hex", encoding="HEX", value="sha512={sig}")
hmac("authorize_net", "X-ANET-Signature", {"notificationId": "d0e8e7fe", "eventType": "net.authorize.customer.created"}, "net.authorize.customer.created", "d0e8e7fe", digest="sha512", secret=HEX_KEY, encoding="HEX", value="sha512={sig}", case="valid_text_key")
FORM = "mandrill_events=%5B%7B%22event%22%3A%22send%22%2C%22_id%22%3A%22m1%22%7D%5D"
hmac("mandrill", "X-Mandrill-Signature", FORM, "send", "m1", text=URL + 'mandrill_events[{"event":"send","_id":"m1"}]', digest="sha1", encoding="base64", content="application/x-www-form-urlencoded")
hmac("mollie", "X-Mollie-Signature", {"resource": "event", "id": "event_1", "type": "payment-link.paid"}, "payment-link.paid", "event_1", value="sha256={sig}", repeated=True)
hmac("mollie", "X-Mollie-Signature", {"resource": "event", "id": "event_1", "type": "payment-link.paid"}, "payment-link.paid", "event_1", value="sha256={sig}", headers=[["X-Mollie-Signature", "sha256=" + "0" * 64]], case="valid_rotated", rejecting=False)
hmac("typeform", "Typeform-Signature", {"event_id": "LtWXD3crgy", "event_type": "form_response"}, "form_response", "LtWXD3crgy", encoding="base64", value="sha256={sig}")
hmac("tally", "Tally-Signature", {"eventId": "a4cb511e", "eventType": "FORM_RESPONSE"}, "FORM_RESPONSE", "a4cb511e", encoding="base64")
hmac("fastspring", "X-FS-Signature", {"events": [{"id": "pthxXBbRRhmxTBoDD6WQMw", "type": "order.completed"}]}, "order.completed", "pthxXBbRRhmxTBoDD6WQMw", encoding="base64")
for encoding, case in (("hex", "valid"), ("base64", "valid_base64")):
    hmac("klaviyo", "Klaviyo-Signature", {"data": [{"topic": "event:klaviyo.sent_sms", "external_id": "1"}], "meta": {"klaviyo_webhook_id": "w1"}}, "event:klaviyo.sent_sms", "1", text="{body}{ts}", encoding=encoding, stamp=RFC1123,
         headers=[["Klaviyo-Timestamp", "{ts}"], ["Klaviyo-Webhook-Id", "w1"]], other=False, case=case)
hmac("launchdarkly", "X-LD-Signature", {"_id": "5a1", "kind": "flag"}, "flag", "5a1")
hmac("nylas", "x-nylas-signature", {"specversion": "1.0", "type": "message.created", "id": "mock-id"}, "message.created", "mock-id")
hmac("expo", "expo-signature", {"id": "147a3212", "status": "finished"}, None, "147a3212.finished", digest="sha1", value="sha1={sig}")
stripe_like("fintoc", "Fintoc-Signature", {"id": "evt_1", "type": "link.credentials_changed"}, "link.credentials_changed", "evt_1")
hmac("recharge", "X-Recharge-Hmac-Sha256", {"charge": {"id": 1}}, "charge/created", text="{secret}{body}", plain=True, headers=[["X-Recharge-Topic", "charge/created"]])
RIPPLE = '{"event":"payment","note":"gr\u00fc\u00dfe"}'
stripe_like("ripple", "X-Webhook-Signature", RIPPLE, stamp=MS, text="{ts}." + run(hash_command(RIPPLE, "sha256")), form="base64", headers=[["X-Webhook-Timestamp", "{ts}"]])
hmac("airwallex", "x-signature", {"id": "evt_1", "name": "payment_intent.created"}, "payment_intent.created", "evt_1", text="{ts}{body}", stamp=MS, headers=[["x-timestamp", "{ts}"]])
stripe_like("cloudflare_stream", "Webhook-Signature", {"uid": "dd5d531a", "status": {"state": "ready"}}, "ready", "dd5d531a.ready", value="time={ts},sig1={sig}")
stripe_like("tailscale", "Tailscale-Webhook-Signature", [{"timestamp": ISO, "type": "nodeCreated"}], "nodeCreated")
stripe_like("buildkite", "X-Buildkite-Signature", {"event": "build.finished", "build": {"id": "1"}}, "build.finished", "r1", value="timestamp={ts},signature={sig}", headers=[["X-Buildkite-Event", "build.finished"], ["X-Buildkite-Request", "r1"]])
token("buildkite", "X-Buildkite-Token", {"event": "build.finished"}, "build.finished", case="valid_token")
hmac("revolut", "Revolut-Signature", {"event": "TransactionCreated"}, "TransactionCreated", text="v1.{ts}.{body}", stamp=MS, value="v1={sig}", headers=[["Revolut-Request-Timestamp", "{ts}"]])
hmac("revolut", "Revolut-Signature", {"event": "TransactionCreated"}, "TransactionCreated", text="v1.{ts}.{body}", stamp=str(NOW), value="v1=" + "0" * 64 + ",v1={sig}", headers=[["Revolut-Request-Timestamp", "{ts}"]], case="valid_seconds")
hmac("attio", "x-attio-signature", {"webhook_id": "w", "events": [{"event_type": "note.created"}]}, "note.created", "k1", headers=[["Idempotency-Key", "k1"]])
hmac("checkr", "X-Checkr-Signature", {"id": "507f1f77bcf86cd799439011", "type": "report.created"}, "report.created", "507f1f77bcf86cd799439011")

# Standard Webhooks.
for name, event_body, event in [
        ("folk", {"type": "person.created"}, "person.created"), ("fathom", {"title": "Call"}, None), ("beehiiv", {"event_type": "subscription.created"}, "subscription.created"),
        ("brex", {"event_type": "TRANSFER_PROCESSED"}, "TRANSFER_PROCESSED"), ("guesty", {"event": "reservation.new"}, "reservation.new"),
        ("incident_io", {"event_type": "public_incident.incident_created_v2"}, "public_incident.incident_created_v2"), ("nash", {"type": "delivery"}, "delivery"),
        ("pleo", {"type": "expense.created"}, "expense.created"), ("psi_fi", {"type": "order.complete"}, "order.complete"), ("safebase", {"type": "access.requested"}, "access.requested"),
        ("sardine", {"type": "case.updated"}, "case.updated"), ("stytch", {"action": "CREATE", "event_type": "direct.user.create"}, "direct.user.create"),
        ("render", {"type": "deploy_ended"}, "deploy_ended"), ("etsy", {"event_type": "order.paid"}, "order.paid"), ("dodo_payments", {"type": "payment.succeeded"}, "payment.succeeded")]:
    standard(name, "webhook", event_body, event)
    hmac(name, "svix-signature", event_body, event, "msg_2derived", text="msg_2derived.{ts}.{body}", encoding="base64", value="v1," + "A" * 43 + "= v1,{sig}", form="base64", key=B64_KEY,
         secret="whsec_" + B64_KEY, stamp=str(NOW), headers=[["svix-id", "msg_2derived"], ["svix-timestamp", "{ts}"]], case="valid_svix", rejecting=False)
standard("supabase", "webhook", {"metadata": {"name": "send-email"}, "user": {"id": "1"}}, "send-email", secret_prefix="v1,whsec_")
standard("finch", "Finch", {"event_type": "employment.created"}, "employment.created", names=["Finch-Event-Id", "Finch-Timestamp", "Finch-Signature"], bare=True)

rsa("highlevel", "x-wh-signature", {"type": "ContactCreate", "webhookId": "w1", "timestamp": ISO}, "ContactCreate", "w1")
hmac("jobber", "x-jobber-hmac-sha256", {"data": {"webHookEvent": {"topic": "CLIENT_CREATE"}}}, "CLIENT_CREATE", encoding="base64")
hmac("sellsy", "x-webhook-signature", {"notif": "x"}, text="{secret}{body}", digest="sha1", plain=True)
PUBSUB = {"iss": "https://accounts.google.com", "aud": URL, "email": "push@project.iam.gserviceaccount.com", "email_verified": True, "iat": NOW - 10, "exp": NOW + 3590}
jwt("google_pubsub", "Authorization", {"message": {"data": "e30=", "messageId": "136969346945", "attributes": {"eventType": "OBJECT_FINALIZE"}}}, PUBSUB, "OBJECT_FINALIZE", "136969346945", value="Bearer {sig}", algorithm="RS256",
    config={"audience": URL, "service_account": "push@project.iam.gserviceaccount.com"},
    bad=[["other_audience", "made for another audience", {**PUBSUB, "aud": "https://other.example.test"}], ["other_account", "of another service account", {**PUBSUB, "email": "other@project.iam.gserviceaccount.com"}],
         ["other_issuer", "of another issuer", {**PUBSUB, "iss": "https://evil.example"}], ["expired", "expired an hour ago", {**PUBSUB, "iat": NOW - 7200, "exp": NOW - 3600}],
         ["unverified_email", "the e-mail address is not verified", {**PUBSUB, "email_verified": False}]])
token("google_drive", "X-Goog-Channel-Token", "", "update", "ch1.7", headers=[["X-Goog-Resource-State", "update"], ["X-Goog-Channel-Id", "ch1"], ["X-Goog-Message-Number", "7"]])
hmac("webex", "X-Spark-Signature", {"id": "w1", "resource": "messages", "event": "created"}, "messages.created", digest="sha1")
hmac("terraform_cloud", "X-TFE-Notification-Signature", {"run_id": "run-1", "notifications": [{"trigger": "run:completed", "run_status": "applied"}]}, "run:completed", "run-1.run:completed.applied", digest="sha512")
hmac("sonarqube", "X-Sonar-Webhook-HMAC-SHA256", {"taskId": "AVh21JS2JepAEhwQ-b3u", "status": "SUCCESS"}, "SUCCESS", "AVh21JS2JepAEhwQ-b3u")
hmac("btcpay", "BTCPay-Sig", {"deliveryId": "d1", "type": "InvoiceSettled"}, "InvoiceSettled", "d1", value="sha256={sig}")
hmac("todoist", "X-Todoist-Hmac-SHA256", {"event_name": "item:added"}, "item:added", "d1", encoding="base64", headers=[["X-Todoist-Delivery-ID", "d1"]])
hmac("sumsub", "X-Payload-Digest", {"type": "applicationReviewed", "correlationId": "c1"}, "applicationReviewed", "c1", headers=[["X-Payload-Digest-Alg", "HMAC_SHA256_HEX"]])
hmac("sumsub", "X-Payload-Digest", {"type": "applicationReviewed"}, "applicationReviewed", digest="sha512", headers=[["X-Payload-Digest-Alg", "HMAC_SHA512_HEX"]], config={"algorithm": "HMAC_SHA512_HEX"}, case="valid_sha512")
WEAK = '{"type":"applicationReviewed"}'
emit("sumsub", "algorithm_by_request", "the request names a weaker algorithm than is set", "reject",
     {"method": "POST", "url": URL, "headers": [["X-Payload-Digest-Alg", "HMAC_SHA1_HEX"], ["X-Payload-Digest", run(hmac_command(WEAK, TEXT_KEY, digest="sha1"))]], "body": WEAK, "secrets": [TEXT_KEY], "now": NOW})
ECWID = '{"eventId":"e1","eventCreated":%d,"eventType":"order.created","entityId":%s}'
ecwid = hmac("ecwid", "X-Ecwid-Webhook-Signature", ECWID % (NOW, "103878161"), "order.created", "e1", text="%d.e1" % NOW, encoding="base64", stamp=str(NOW), body_signed=False)
emit("ecwid", "id_changed", "the signed id was changed", "reject", changed(ecwid, body=ecwid["body"].replace('"e1"', '"e2"')), of="valid")
emit("ecwid", "time_changed", "the signed time was changed", "reject", changed(ecwid, body=ecwid["body"].replace(str(NOW), str(NOW + 1))), of="valid")
rsa("fireblocks", "Fireblocks-Signature", {"type": "TRANSACTION_CREATED", "timestamp": NOW}, "TRANSACTION_CREATED", digest="sha512")
hmac("quicknode", "x-qn-signature", [{"block": 1}], None, "nonce1", text="nonce1{ts}{body}", stamp=str(NOW), headers=[["x-qn-nonce", "nonce1"], ["x-qn-timestamp", "{ts}"]])
hmac("patreon", "X-Patreon-Signature", {"data": {"id": "1"}}, "members:create", digest="md5", headers=[["X-Patreon-Event", "members:create"]])
stripe_like("tiktok", "TikTok-Signature", {"client_key": "k", "event": "video.publish.completed"}, "video.publish.completed", value="t={ts},s={sig}")
hmac("fitbit", "X-Fitbit-Signature", [{"collectionType": "foods", "date": "2026-11-18"}], "foods", digest="sha1", encoding="base64", secret=TEXT_KEY, key=TEXT_KEY + "&")
hmac("linkedin", "X-LI-Signature", {"type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": [{"notificationId": 1}]}, "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "1", text="hmacsha256={body}")
hmac("smartsheet", "Smartsheet-Hmac-SHA256", {"nonce": "4b2ed20d", "events": [{"eventType": "updated"}]}, "updated", "4b2ed20d")
hmac("convoy", "X-Convoy-Signature", {"event_type": "invoice.paid"}, "invoice.paid", text="{ts},{body}", stamp=str(NOW), value="t={ts},v1={sig}")
hmac("convoy", "X-Convoy-Signature", {"event_type": "invoice.paid"}, "invoice.paid", digest="sha512", encoding="base64", config={"variant": "simple", "hash": "sha512", "encoding": "base64"}, case="valid_simple")

# Shared tokens and passwords.
token("okta", "Authorization", {"eventId": "e1", "data": {"events": [{"uuid": "u1", "eventType": "user.lifecycle.create"}]}}, "user.lifecycle.create", "e1")
token("telegram", "X-Telegram-Bot-Api-Secret-Token", {"update_id": 10000, "message": {"text": "hi"}}, "message", "10000")
BASIC = "post:pa:ss-word"
for name, body, event, delivery, more in [
        ("chargebee", {"id": "ev_1", "event_type": "customer_created"}, "customer_created", "ev_1", []), ("postmark", {"RecordType": "Delivery", "MessageID": "m1"}, "Delivery", "m1.Delivery", []),
        ("sparkpost", [{"msys": {"message_event": {"type": "delivery"}}}], "delivery", "b1", [["X-MessageSystems-Batch-ID", "b1"]]), ("mixpanel", {"action": "members"}, "members", None, [])]:
    token(name, "Authorization", body, event, delivery, value="Basic {sig}", secret=BASIC, headers=more)
token("postmark", "X-Token", {"RecordType": "Bounce", "MessageID": "m1"}, "Bounce", "m1.Bounce", config={"variant": "token", "header": "X-Token"}, case="valid_token")
for name, body, event, delivery in [("datadog", {"id": "1", "event_type": "metric_alert"}, "metric_alert", "1"), ("new_relic", {"issueId": "i1", "state": "CREATED"}, "CREATED", "i1.CREATED"),
                                    ("zapier", {"type": "row.added", "id": "z1"}, "row.added", "z1"), ("fillout", {"submission": {"submissionId": "s1"}}, None, "s1"), ("bigcommerce", {"scope": "store/order/created", "hash": "h1"}, "store/order/created", "h1")]:
    token(name, "X-Token", body, event, delivery, config={"header": "X-Token"})
token("datadog", "Authorization", {"id": "1", "event_type": "metric_alert"}, "metric_alert", "1", value="Bearer {sig}", config={"prefix": "Bearer "}, case="valid_bearer")
token("brevo", "Authorization", {"event": "delivered"}, "delivered", value="bearer {sig}")
token("microsoft_graph", None, {"value": [{"id": "n1", "changeType": "created", "clientState": "{sig}"}, {"id": "n2", "changeType": "created", "clientState": "{sig}"}]}, "created", "n1")
graph = {"method": "POST", "url": URL, "headers": [["Content-Type", "application/json"]], "secrets": [TEXT_KEY], "now": NOW}
emit("microsoft_graph", "second_item", "the second notification has another clientState", "reject", {**graph, "body": json.dumps({"value": [{"clientState": TEXT_KEY}, {"clientState": "x"}]})}, of="valid")
emit("microsoft_graph", "second_missing", "the second notification has no clientState", "reject", {**graph, "body": json.dumps({"value": [{"clientState": TEXT_KEY}, {"id": "2"}]})}, of="valid")
emit("microsoft_graph", "no_items", "there is no notification", "reject", {**graph, "body": '{"value":[]}'}, of="valid")
token("deepgram", "dg-token", {"metadata": {"request_id": "r1"}}, None, "r1")
FUSION = '{"event":{"id":"e1","type":"user.create"}}'
FUSION_HASH = run(hash_command(FUSION, "sha256", "base64"))
for algorithm, config in (("HS256", None), ("RS256", {"key_type": "public_key"})):
    jwt("fusionauth", "X-FusionAuth-Signature-JWT", json.loads(FUSION), {"request_body_sha256": FUSION_HASH}, "user.create", "e1", algorithm=algorithm, config=config, body_signed=True,
        case="valid" if algorithm == "HS256" else "valid_rsa", bad=[["no_body_hash", "the claim with the hash is missing", {"iss": "x"}], ["other_body_hash", "the hash of another body", {"request_body_sha256": FUSION_HASH[::-1]}]])
token("adobe_sign", "X-AdobeSign-ClientId", {"event": "AGREEMENT_CREATED", "webhookNotificationId": "n1"}, "AGREEMENT_CREATED", "n1", config={"client_id": TEXT_KEY})

# Experimental ones.
rsa("wise", "X-Signature-SHA256", {"event_type": "transfers#state-change"}, "transfers#state-change", "d1", headers=[["X-Delivery-Id", "d1"]])
hmac("intuit", "intuit-signature", {"eventNotifications": [{"realmId": "1", "dataChangeEvent": {"entities": [{"name": "Invoice", "operation": "Create"}]}}]}, "Invoice.Create", encoding="base64")
hmac("grafana", "X-Grafana-Alerting-Signature", {"status": "firing"}, "firing")
grafana = hmac("grafana", "X-Sig", {"status": "firing"}, "firing", text="{ts}:{body}", stamp=str(NOW), headers=[["X-Time", "{ts}"]], config={"variant": "timestamp", "header": "X-Sig", "timestamp_header": "X-Time"}, case="valid_timestamp")
emit("grafana", "time_moved_into_body", "without its header the time stands in front of the body", "reject",
     changed(with_header(grafana, "X-Time", None), body=str(NOW) + ":" + grafana["body"]), of="valid_timestamp")
hmac("flutterwave", "flutterwave-signature", {"webhook_id": "wbk_1", "type": "charge.completed"}, "charge.completed", "wbk_1", encoding="base64")
token("flutterwave", "verif-hash", {"event": "charge.completed", "data": {"id": 285959875}}, "charge.completed", "285959875", case="valid_token")
hmac("microsoft_teams", "Authorization", {"type": "message", "id": "1485983408511"}, "message", "1485983408511", encoding="base64", form="base64", value="HMAC {sig}")
token("azure_event_grid", None, [{"id": "2d1781af", "eventType": "Microsoft.Storage.BlobCreated"}], "Microsoft.Storage.BlobCreated", "2d1781af", url=URL + "?token={sig}")
token("azure_event_grid", "X-Key", [{"id": "2d1781af", "eventType": "Microsoft.Storage.BlobCreated"}], "Microsoft.Storage.BlobCreated", "2d1781af", config={"header": "X-Key"}, case="valid_header")
MONDAY = {"iat": NOW - 5, "exp": NOW + 55, "aud": URL}
jwt("monday", "Authorization", {"event": {"type": "create_pulse", "triggerUuid": "t1"}}, MONDAY, "create_pulse", "t1",
    bad=[["expired", "expired an hour ago", {"iat": NOW - 7200, "exp": NOW - 3600}], ["no_expiry", "a token that never expires", {"iat": NOW}]])
token("figma", None, {"event_type": "FILE_UPDATE", "passcode": "{sig}", "timestamp": ISO, "webhook_id": "22"}, "FILE_UPDATE", "22." + ISO)
hmac("frame_io", "X-Frameio-Signature", {"type": "asset.created"}, "asset.created", text="v0:{ts}:{body}", stamp=str(NOW), value="v0={sig}", headers=[["X-Frameio-Request-Timestamp", "{ts}"]])
hmac("segment", "X-Signature", {"type": "track", "messageId": "m1"}, "track", "m1", digest="sha1")
stripe_like("persona", "Persona-Signature", {"data": {"id": "evt_1", "attributes": {"name": "inquiry.completed"}}}, "inquiry.completed", "evt_1")
hmac("persona", "Persona-Signature", {"data": {"id": "evt_1"}}, None, "evt_1", text="{ts}.{body}", stamp=str(NOW), value="t={ts},v1=" + "0" * 64 + " t={ts},v1={sig}", case="valid_rotated")
hmac("veriff", "x-hmac-signature", {"id": "s1", "attemptId": "a1", "action": "started"}, "started", "a1")
hmac("squarespace", "Squarespace-Signature", {"id": "n1", "topic": "order.create"}, "order.create", "n1", form="hex")
hmac("alchemy", "X-Alchemy-Signature", {"id": "whevt_1", "type": "ADDRESS_ACTIVITY"}, "ADDRESS_ACTIVITY", "whevt_1")
hmac("help_scout", "X-HelpScout-Signature", {"id": 1}, "convo.created", digest="sha1", encoding="base64", headers=[["X-HelpScout-Event", "convo.created"]])
hmac("shortcut", "Payload-Signature", {"id": "595285dc", "actions": [{"entity_type": "story", "action": "update"}]}, "story.update", "595285dc")
hmac("uploadcare", "X-Uc-Signature", {"hook": {"event": "file.uploaded"}, "data": {"uuid": "u1"}}, "file.uploaded", "u1", value="v1={sig}")
hmac("daily_co", "X-Webhook-Signature", {"type": "meeting.started", "id": "d1"}, "meeting.started", "d1", text="{ts}.{body}", stamp=MS, encoding="base64", form="base64", headers=[["X-Webhook-Timestamp", "{ts}"]])
hmac("greenhouse", "Signature", {"action": "new_candidate_application"}, "new_candidate_application", "g1", value="sha256 {sig}", headers=[["Greenhouse-Event-ID", "g1"]])
LEVER = '{"id":"l1","event":"candidateHired","triggeredAt":%s,"token":"tok1","signature":"{sig}","data":{"candidateId":"c"}}' % MS
lever = hmac("lever", None, LEVER, "candidateHired", "l1", text="tok1" + MS, stamp=MS, body_signed=False)
emit("lever", "token_changed", "the signed token was changed", "reject", changed(lever, body=lever["body"].replace("tok1", "tok2")), of="valid")
emit("lever", "time_changed", "the signed time was changed", "reject", changed(lever, body=lever["body"].replace(MS, str(NOW * 1000 + 1))), of="valid")
hmac("ashby", "Ashby-Signature", {"action": "applicationSubmit", "webhookActionId": "w1"}, "applicationSubmit", "w1", value="sha256={sig}")
hmac("gusto", "X-Gusto-Signature", {"uuid": "g1", "event_type": "company.created"}, "company.created", "g1")
hmac("bamboohr", "X-BambooHR-Signature", {"type": "employee.updated"}, "employee.updated", text="{body}{ts}", stamp=str(NOW), headers=[["X-BambooHR-Timestamp", "{ts}"]])
hmac("unit", "x-unit-signature", {"data": [{"id": "344", "type": "customer.created"}]}, "customer.created", "344", digest="sha1", encoding="base64")
hmac("samsara", "X-Samsara-Signature", {"eventId": "s1", "eventType": "AddressCreated"}, "AddressCreated", "s1", text="v1:{ts}:{body}", stamp=str(NOW), value="v1={sig}", form="base64", headers=[["X-Samsara-Timestamp", "{ts}"]])
hmac("uber", "X-Uber-Signature", {"event_id": "c4d2261e", "event_type": "orders.notification"}, "orders.notification", "c4d2261e")
hmac("printify", "X-Pfy-Signature", {"id": "p1", "type": "order:created"}, "order:created", "p1", value="sha256={sig}")
token("revenuecat", "Authorization", {"event": {"id": "r1", "type": "INITIAL_PURCHASE"}}, "INITIAL_PURCHASE", "r1")
hmac("surveymonkey", "Sm-Signature", {"event_type": "response_completed", "event_id": "123"}, "response_completed", "123", digest="sha1", encoding="base64", secret="client-1&" + TEXT_KEY)
hmac("discourse", "X-Discourse-Event-Signature", {"post": {"id": 1}}, "post_created", "12", value="sha256={sig}", headers=[["X-Discourse-Event", "post_created"], ["X-Discourse-Event-Id", "12"]])
hmac("ghost", "X-Ghost-Signature", {"event": "post.published", "post": {"current": {}}}, "post.published", text="{body}{ts}", stamp=MS, value="sha256={sig}, t={ts}")
hmac("merge", "X-Merge-Webhook-Signature", {"hook": {"id": "m1", "event": "employee.changed"}}, "employee.changed", "m1", encoding="base64url")
hmac("chargify", "X-Chargify-Webhook-Signature-Hmac-Sha-256", "id=1&event=payment_success&payload[site][id]=2", "payment_success", "1", content="application/x-www-form-urlencoded")
hmac("lob", "Lob-Signature", {"id": "evt_1", "event_type": {"id": "letter.created"}}, "letter.created", "evt_1", text="{ts}.{body}", stamp=MS, headers=[["Lob-Signature-Timestamp", "{ts}"]])
hmac("aftership", "aftership-hmac-sha256", {"event": "tracking_update", "event_id": "a1"}, "tracking_update", "a1", encoding="base64")
hmac("castle", "X-Castle-Signature", {"type": "$incident.confirmed"}, "$incident.confirmed", encoding="base64")
hmac("autodesk", "x-adsk-signature", {"hook": {"event": "dm.version.added"}}, "dm.version.added", "d1", digest="sha1", value="sha1hash={sig}", headers=[["x-adsk-delivery-id", "d1"]])
hmac("sonatype_nexus", "X-Nexus-Webhook-Signature", {"action": "CREATED"}, "rm:repository:component", "n1", digest="sha1", headers=[["X-Nexus-Webhook-Id", "rm:repository:component"], ["X-Nexus-Webhook-Delivery", "n1"]])
for encoding, case in (("base64", "valid"), ("hex", "valid_hex")):
    hmac("mongodb_atlas", "X-MMS-Signature", {"id": "a1", "status": "OPEN"}, "alert.open", "a1", digest="sha1", encoding=encoding, headers=[["X-MMS-Event", "alert.open"]], other=False, case=case)
hmac("pinwheel", "x-pinwheel-signature", {"event": "paystubs.added", "event_id": "p1"}, "paystubs.added", "p1", text="v2:{ts}:{body}", stamp=str(NOW), value="v2={sig}", headers=[["x-timestamp", "{ts}"]])
hmac("snyk", "X-Hub-Signature", {"project": {"id": "1"}}, "project_snapshot/v0", "t1", value="sha256={sig}", headers=[["X-Snyk-Event", "project_snapshot/v0"], ["X-Snyk-Transport-ID", "t1"]])
token("ringcentral", "Verification-Token", {"uuid": "r1", "event": "/restapi/v1.0/account/1"}, "/restapi/v1.0/account/1", "r1")
token("mailchimp", None, "type=subscribe&data[email]=a%40example.test", "subscribe", url=URL + "?secret={sig}", content="application/x-www-form-urlencoded")
rsa("adobe_io", "x-adobe-digital-signature-1", {"event_id": "e1", "type": "com.adobe.x", "recipient_client_id": "c1"}, "com.adobe.x", "e1", headers=[["x-adobe-public-key1-path", "/prod/keys/pub-key-derived.pem"]])
strava = {"method": "POST", "url": URL, "headers": [["Content-Type", "application/json"]], "body": '{"object_type":"activity","object_id":1360128428,"aspect_type":"create","subscription_id":120475,"event_time":%d}' % NOW,
          "secrets": [], "now": NOW, "config": {"subscription_id": "120475"}, "meta": {"event_type": "activity.create", "delivery_id": "1360128428.create.%d" % NOW}}
emit("strava", "valid", "of the subscription that is configured; nothing is signed", "accept", strava, origin="printf '%s' 120475")
for case, reason, to in [("other_subscription", "of another subscription", "120476"), ("longer_subscription", "the subscription has a digit more", "1204750"), ("no_subscription", "without a subscription", "null")]:
    emit("strava", case, reason, "reject", changed(strava, body=strava["body"].replace("120475", to)), of="valid")

# A standard, by its own rules.
hmac("websub", "X-Hub-Signature", "<feed/>", value="sha256={sig}", content="application/atom+xml")
hmac("websub", "X-Hub-Signature", "<feed/>", digest="sha1", value="sha1={sig}", content="application/atom+xml", config={"hash": "sha1"}, case="valid_sha1")
emit("websub", "hash_by_request", "the request names a weaker function than is set", "reject",
     {"method": "POST", "url": URL, "headers": [["X-Hub-Signature", "sha1=" + run(hmac_command("<feed/>", TEXT_KEY, digest="sha1"))]], "body": "<feed/>", "secrets": [TEXT_KEY], "now": NOW}, of="valid_sha1")

# A plain hash with the secret in front can be extended by whoever knows the
# secret's length: the hash is right, but behind the padding it is not JSON.
for provider, header, digest in [("recharge", "X-Recharge-Hmac-Sha256", "sha256"), ("sellsy", "x-webhook-signature", "sha1")]:
    short = b'{"charge":{"id":1}}'
    length = len(TEXT_KEY) + len(short)
    longer = short + b"\x80" + b"\0" * ((55 - length) % 64) + (length * 8).to_bytes(8, "big") + b'{"charge":{"id":2}}'
    emit(provider, "length_extended", "the hash was extended over appended bytes", "reject", {
        "method": "POST", "url": URL, "headers": [[header, hashlib.new(digest, TEXT_KEY.encode() + longer).hexdigest()]],
        "body": longer, "secrets": [TEXT_KEY], "now": NOW}, of="valid")

write()
