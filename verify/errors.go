package verify

import (
	"slices"
	"strconv"
	"strings"
)

// Reason says why a request was refused. The set is closed; it is shown to the
// operator of the source and never to the sender.
type Reason string

// The reasons, in the order of how far a request got. When several schemes
// refuse, the one that got furthest is reported.
const (
	// ReasonSecretMissing: there is no key to check with, or an empty one.
	ReasonSecretMissing Reason = "secret_missing"
	// ReasonSchemeUnmet: the request has not what a scheme is recognised by.
	ReasonSchemeUnmet Reason = "scheme_unmet"
	// ReasonSignatureMissing: no signature where it should be, or an empty one.
	ReasonSignatureMissing Reason = "signature_missing"
	// ReasonURLMissing: the URL is signed and the caller did not say it.
	ReasonURLMissing Reason = "url_missing"
	// ReasonHeaderMissing: another header that is signed is not there.
	ReasonHeaderMissing Reason = "header_missing"
	// ReasonValueMissing: a value of the query or the body that is signed, or must
	// be right, is not there.
	ReasonValueMissing Reason = "value_missing"
	// ReasonTimestampMissing: no timestamp, or an empty one.
	ReasonTimestampMissing Reason = "timestamp_missing"
	// ReasonBodyMalformed: the body does not read as the form, the JSON or the
	// compressed text that is signed.
	ReasonBodyMalformed Reason = "body_malformed"
	// ReasonDuplicateHeader: a header that counts is there more than once.
	ReasonDuplicateHeader Reason = "duplicate_header"
	// ReasonDuplicateValue: a value that counts is more than once in the query,
	// the body or the signature header.
	ReasonDuplicateValue Reason = "duplicate_value"
	// ReasonTimestampMalformed: the timestamp is not written as it must be.
	ReasonTimestampMalformed Reason = "timestamp_malformed"
	// ReasonSignatureMalformed: nothing there reads as a signature.
	ReasonSignatureMalformed Reason = "signature_malformed"
	// ReasonAlgorithmForbidden: signed with an algorithm that is not the source's.
	ReasonAlgorithmForbidden Reason = "algorithm_forbidden"
	// ReasonKeyForbidden: the request names a key at an address that is not the
	// provider's.
	ReasonKeyForbidden Reason = "key_forbidden"
	// ReasonKeyUnavailable: the provider's key could not be fetched, or there is
	// none of that name.
	ReasonKeyUnavailable Reason = "key_unavailable"
	// ReasonSignatureMismatch: signatures were read and none is right.
	ReasonSignatureMismatch Reason = "signature_mismatch"
	// ReasonDigestMismatch: rightly signed, but over another body or URL.
	ReasonDigestMismatch Reason = "digest_mismatch"
	// ReasonValueMismatch: rightly signed, but for another account, version or
	// address than the source's.
	ReasonValueMismatch Reason = "value_mismatch"
	// ReasonTimestampOutsideWindow: rightly signed, but too old or too far in
	// the future: a replay, or a clock that is wrong.
	ReasonTimestampOutsideWindow Reason = "timestamp_outside_window"
	// ReasonEventMalformed: rightly signed, but not what the event format says.
	ReasonEventMalformed Reason = "event_malformed"
	// ReasonHandshakeRefused: a handshake whose challenge, token or origin is not
	// what it must be, or that was answered once and for all.
	ReasonHandshakeRefused Reason = "handshake_refused"
)

// Reasons returns the closed set, in the order of how far a request got.
func Reasons() []Reason {
	return []Reason{
		ReasonSecretMissing, ReasonSchemeUnmet, ReasonSignatureMissing, ReasonURLMissing, ReasonHeaderMissing,
		ReasonValueMissing, ReasonTimestampMissing, ReasonBodyMalformed, ReasonDuplicateHeader, ReasonDuplicateValue,
		ReasonTimestampMalformed, ReasonSignatureMalformed, ReasonAlgorithmForbidden, ReasonKeyForbidden,
		ReasonKeyUnavailable, ReasonSignatureMismatch, ReasonDigestMismatch, ReasonValueMismatch,
		ReasonTimestampOutsideWindow, ReasonEventMalformed, ReasonHandshakeRefused,
	}
}

// Error is what Verify refuses with.
type Error struct {
	Reason Reason
	// Detail is a sentence for the operator. It names headers and forms, and
	// contains neither secrets nor what the signature should have been.
	Detail string
}

// Error joins reason and detail.
func (e *Error) Error() string { return "verify: " + string(e.Reason) + ": " + e.Detail }

// FieldError is one thing that is wrong with a Config.
type FieldError struct {
	// Field is named as in the API: secrets[0], config.header, eventTypePrefix;
	// or a path in the Definition when that is at fault.
	Field string
	// Detail never contains a secret.
	Detail string
}

// ConfigError is what New refuses with: everything that is wrong, at once.
type ConfigError struct {
	Fields []FieldError // at least one
}

// Error lists all fields on one line.
func (e *ConfigError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + ": " + f.Detail
	}
	return "verify: " + strings.Join(parts, "; ")
}

// further returns the error of the scheme that got further with the request.
func further(a, b *Error) *Error {
	order := Reasons()
	if a == nil || slices.Index(order, b.Reason) > slices.Index(order, a.Reason) {
		return b
	}
	return a
}

func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }
