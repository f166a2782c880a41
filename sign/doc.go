// Package sign makes and checks Standard Webhooks signatures and holds the keys
// behind them.
//
// A sender builds one [Signer] from all live keys of an endpoint and appends
// the value of the webhook-signature header for each message. A receiver fills
// a [Verifier] with the keys it knows and hands it headers and the raw body.
//
// What is signed is id + "." + timestamp + "." + body, byte for byte:
//
//	v1   HMAC-SHA256, key "whsec_" + base64 of 24 to 75 bytes
//	v1a  Ed25519, private key "whsk_" + base64, public key "whpk_" + base64
//
// Keys never show their bytes through fmt, slog or JSON; [Key.Reveal] is the
// only way to the text of one. The package reads no clock and logs nothing.
package sign
