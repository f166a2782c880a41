package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
)

// Definition says how one provider signs its requests and where it puts what
// Postern wants to know. It is the schema of the files under providers/, which
// are read strictly: an unknown member is an error. Users' own definitions have
// the same members, in YAML or JSON.
//
// In text members ${NAME} is replaced by that setting of the source. A selector
// or condition that names an empty setting is dropped. A template that is one
// ${NAME} and nothing else is the source's own; elsewhere in a template the
// setting is literal text, braces and all.
type Definition struct {
	// ID names the provider in a source and in the type of a nameless event:
	// lower-case letters, digits and '_'. It is the name of the file.
	ID string `json:"id"`
	// Aliases are other ids that find it: "x" for twitter.
	Aliases []string `json:"aliases,omitempty"`
	// Name is for people.
	Name string `json:"name"`
	// Docs is the address of the provider's own page on its signature.
	Docs string `json:"docs,omitempty"`
	// Status is how the definition is known, Source from what.
	Status Status `json:"status"`
	Source string `json:"source,omitempty"`
	// Unsigned says in a sentence what the signature does not cover, such as the
	// body; empty where it covers the body and all that is read from the request.
	Unsigned string `json:"unsigned,omitempty"`
	// Setup says, where known, what to paste where, and where the secret is found.
	Setup Setup `json:"setup,omitzero"`
	// Settings are what a source may or must say besides its secrets. "tolerance"
	// need not be declared: every definition with a timestamp or a token has it.
	Settings []Setting `json:"settings,omitempty"`
	// Schemes are alternatives: a request is verified if one of those that it
	// meets the conditions of accepts it.
	Schemes []Scheme `json:"schemes"`
	// EventType and DeliveryID are tried in order; the first that is there wins.
	// Several selectors joined by '+' make one value, with '.' between them:
	// "json:type+json:action".
	EventType  []Selector `json:"eventType,omitempty"`
	DeliveryID []Selector `json:"deliveryId,omitempty"`
	// Events names the format that the events are read by, in place of EventType
	// and DeliveryID, where a request can bring several: FormatCloudEvents.
	Events string `json:"events,omitempty"`
	// Replay is a signed single-use token, where that is not the delivery id: a
	// second request with the same one is a duplicate whatever else it says.
	Replay []Selector `json:"replay,omitempty"`
	// Handshakes are tried in order before verification; the first whose
	// conditions a request meets answers it.
	Handshakes []Handshake `json:"handshakes,omitempty"`
	// Methods are accepted besides POST for events (handshakes name their own).
	Methods []string `json:"methods,omitempty"`
	// Answer is what an accepted request is answered with; zero is 202 and JSON.
	Answer Answer `json:"answer,omitzero"`
	// SecretLater lets a source be made without a secret, because the provider
	// wants its handshake answered before it shows one. Until then every event is
	// refused.
	SecretLater bool `json:"secretLater,omitempty"`
	// RefusalStatus is what one that did not verify is answered with; 0 is 401.
	RefusalStatus int `json:"refusalStatus,omitempty"`
}

// FormatCloudEvents is CloudEvents 1.0 over HTTP, in any of its three modes.
const FormatCloudEvents = "cloudevents"

// Status is how far a definition can be relied on.
type Status string

// The statuses, best first.
const (
	StatusGeneric      Status = "generic"      // ours or a standard's; nobody's in particular
	StatusSDK          Status = "sdk"          // agrees with the vendor's own SDK, which was run
	StatusVector       Status = "vector"       // reproduces an example that the vendor published
	StatusDocumented   Status = "documented"   // follows the vendor's own page
	StatusReported     Status = "reported"     // follows independent code that cites the vendor
	StatusExperimental Status = "experimental" // sources disagree, or only part of it was seen
)

// Setup is help for whoever connects the provider.
type Setup struct {
	URL    string `json:"url,omitempty"`    // where the source's address is pasted
	Secret string `json:"secret,omitempty"` // where the secret is found
}

// Setting is one value that the configuration of a source gives.
type Setting struct {
	Name        string `json:"name"` // snake_case
	Description string `json:"description"`
	// Default counts when a source leaves the setting out or empty.
	Default string `json:"default,omitempty"`
	// Required refuses a source that leaves it out.
	Required bool `json:"required,omitempty"`
	// Values are the only ones allowed; none means any text.
	Values []string `json:"values,omitempty"`
	// Secret keeps the value out of everything that shows a configuration.
	Secret bool `json:"secret,omitempty"`
	// Part has the setting default to a part of the first secret: user or
	// password, which stand before and behind its first colon. Without secrets
	// the two settings are one.
	Part string `json:"part,omitempty"`
}

// Kind is the primitive behind a Scheme.
type Kind string

// The kinds of scheme. KindToken and KindBasic compare what the request carries
// with a secret, KindHash has the secret in the signed text, KindCode names a
// function, and KindNone accepts everything and takes no secrets.
const (
	KindHMAC          Kind = "hmac"
	KindHash          Kind = "hash"
	KindEd25519       Kind = "ed25519"
	KindECDSA         Kind = "ecdsa"
	KindRSA           Kind = "rsa"
	KindJWT           Kind = "jwt"
	KindToken         Kind = "token"
	KindBasic         Kind = "basic"
	KindHTTPSignature Kind = "http_signature"
	KindNone          Kind = "none"
	KindCode          Kind = "code"
)

// Scheme is one way in which a provider signs.
type Scheme struct {
	Kind Kind `json:"kind"`
	// Code names the function of a scheme that data cannot express (KindCode).
	Code string `json:"code,omitempty"`
	// For leaves the scheme out unless each setting has the value, such as
	// {"variant": "v3"}, or one of several with '|' between them: "|v3" is v3 or
	// nothing.
	For map[string]string `json:"for,omitempty"`
	// If must all hold for the scheme to be tried: "SELECTOR" is there and not
	// empty, "!SELECTOR" is not, "SELECTOR=TEXT" is exactly that.
	If []string `json:"if,omitempty"`
	// Hash is md5, sha1, sha256 or sha512.
	Hash string  `json:"hash,omitempty"`
	Key  KeyForm `json:"key,omitzero"`
	// Remote says where keys come from when the source has no secrets.
	Remote *RemoteKey `json:"remote,omitempty"`
	// Signature says where the signatures (or the token) are and how written.
	Signature Signature `json:"signature,omitzero"`
	// Timestamp says where {timestamp} is; without From there is none.
	Timestamp Timestamp `json:"timestamp,omitzero"`
	// ID is where {id} stands; empty means that there is none.
	ID Selector `json:"id,omitempty"`
	// Template is the signed text: literal text and placeholders. A placeholder is
	// {body} {timestamp} {id} {url} {method} {path} {query} {secret}
	// {form_sorted} (a form's fields sorted by name, name and value without
	// separators), any {SELECTOR}, or one of these with functions behind it:
	// {body|sha256|hex} (functions: md5 sha1 sha256 sha512 hex base64 base64url
	// lower upper; for {url} port and noport, which spell the port out or leave it
	// out, and unescape, which decodes some of its %-escapes; for {body} gunzip,
	// json, which refuses what is none, canonical, which writes JSON as RFC 8785
	// has it, weight, which gives whole weights a fraction, ascii, which escapes all
	// else in JSON, and crc32, in decimal digits). {path} is path and query as sent,
	// {query} the query alone. A part in [brackets] is left out as a whole when a
	// value in it is absent or empty; elsewhere an absent value refuses, but
	// {item:...} of Each, which is then empty.
	Template string `json:"template,omitempty"`
	// Each is a JSON array all items of which must verify: "json:notificationItems".
	// Selectors "item:PATH" are within the item, and in an empty array nothing
	// verifies.
	Each Selector `json:"each,omitempty"`
	// Require are values that must be exactly so.
	Require []Requirement `json:"require,omitempty"`
	// Digests are hashes that the request carries and that must be right, for
	// schemes that sign a hash in place of the body.
	Digests []Digest `json:"digests,omitempty"`
	// JWT are the rules of KindJWT.
	JWT *JWT `json:"jwt,omitempty"`
	// Unsigned lets a scheme pass that covers neither {body} nor a digest of it;
	// the definition's Unsigned then says so in words.
	Unsigned bool `json:"unsignedBody,omitempty"`
}

// Selector says where a value stands, "" for nowhere:
//
//	header:NAME          query:NAME           form:NAME
//	json:PATH            names and positions joined by dots, in a JSON body; a
//	                     name with one * is the first member that matches, and
//	                     the last one with ? before it is that member's name
//	form:NAME:PATH       multipart:NAME[:PATH]   JSON inside a field
//	element:NAME         NAME=value within the signature header; element:#0 by position
//	claim:NAME           of the token that verified
//	item:PATH            within the item of Each
//	body                 the whole body
//	id                   {id} of the scheme that accepted the request
//	literal:TEXT         TEXT
type Selector string

// KeyForm says how a secret's text becomes the key.
type KeyForm struct {
	// Form is utf8, hex, base64, base64url; for public keys also pem (PKIX, PKCS1
	// or a certificate), spki (base64 of DER), jwk; "" for schemes without key.
	Form string `json:"form"`
	// Prefix marks the secrets that are for this scheme and is not part of the
	// key. A secret that has the prefix of one scheme is used by no other.
	Prefix string `json:"prefix,omitempty"`
	// Bare takes secrets without any known prefix, too.
	Bare bool `json:"bare,omitempty"`
	// Strip is a regular expression whose match is taken off the secret's start.
	Strip string `json:"strip,omitempty"`
	// Normalize is nfkd or empty. Derive hashes the key: sha1, sha256. Suffix is
	// put behind the text before it is decoded.
	Normalize string `json:"normalize,omitempty"`
	Derive    string `json:"derive,omitempty"`
	Suffix    string `json:"suffix,omitempty"`
}

// Signature says where the signatures are.
type Signature struct {
	// From are the places, any of which may be absent, but not all: header:NAME,
	// header:NAME-# (numbered from 1), json:, form:, query:, multipart:, item:.
	From []Selector `json:"from"`
	// Separator splits a value into elements, white space around each dropped;
	// empty means that the whole value is one.
	Separator string `json:"separator,omitempty"`
	// Prefix stands before each signature. Elements without it are ignored.
	Prefix string `json:"prefix,omitempty"`
	// Encoding is hex, base64 (padded), base64url (padding optional),
	// base64url_unpadded (padding refused) or raw (a token, as it is).
	Encoding string `json:"encoding"`
	// Repeated allows the header to stand there more than once, where the
	// provider documents that.
	Repeated bool `json:"repeated,omitempty"`
	// FoldCase compares a scheme name such as "Bearer " without regard to case.
	FoldCase bool `json:"foldCase,omitempty"`
}

// Timestamp says where the time of signing is.
type Timestamp struct {
	From Selector `json:"from"`
	// Unit is s, ms, ns, rfc3339, iso8601 (without zone: UTC), rfc1123, or s_ms
	// (milliseconds from 1e11 on).
	Unit string `json:"unit"`
	// Tolerance is how far it may lie from now, both ways: a Go duration or a
	// number of seconds, from 1 s to 24 h; "" is 5m.
	Tolerance string `json:"tolerance,omitempty"`
}

// Requirement is a value that must be exactly what a source or the definition
// says. A requirement whose Equals is "" once settings are filled in is not
// looked at. A setting that it names need not be declared.
type Requirement struct {
	Value Selector `json:"value"`
	// Equals is a template: "${app_key}", or "{header:X-Time}" for two values that
	// must agree.
	Equals string `json:"equals"`
}

// Digest is a hash that stands in the request or in its token.
type Digest struct {
	Value    Selector `json:"value"` // claim:sha256, query:bodySHA256, header:...
	Of       string   `json:"of"`    // a template, {body} or {url}
	Hash     string   `json:"hash"`
	Encoding string   `json:"encoding"`
	// AbsentIfEmpty: the value must be missing exactly when Of is empty.
	AbsentIfEmpty bool `json:"absentIfEmpty,omitempty"`
}

// JWT are the rules for a JSON Web Token; Signature says where it is.
type JWT struct {
	// Algorithms are those allowed: HS256 HS384 HS512 RS256 ES256 EdDSA ...; the
	// key must fit.
	Algorithms []string `json:"algorithms"`
	// Issuer, Audience and Subject must be equal where they are not empty;
	// Subject may be "{url}".
	Issuer   string `json:"issuer,omitempty"`
	Audience string `json:"audience,omitempty"`
	Subject  string `json:"subject,omitempty"`
	// Claims must be equal; Required must be there.
	Claims   map[string]string `json:"claims,omitempty"`
	Required []string          `json:"required,omitempty"`
	// Leeway is granted to exp and nbf; "" is 5s. MaxAge bounds iat both ways
	// where it is not empty.
	Leeway string `json:"leeway,omitempty"`
	MaxAge string `json:"maxAge,omitempty"`
}

// RemoteKey is a key or certificate that is fetched and cached.
type RemoteKey struct {
	// URL is a template over the request's selectors; Hosts are regular
	// expressions, anchored at both ends, one of which its host must match.
	URL   string   `json:"url"`
	Hosts []string `json:"hosts"`
	// Format is jwks, pem, spki, x509 or jwk; Path leads to the key inside a JSON
	// answer.
	Format string `json:"format"`
	Path   string `json:"path,omitempty"`
	// KeyID is the kid looked for in a set.
	KeyID Selector `json:"keyId,omitempty"`
	// Pattern is what values put into URL must match; "" is [A-Za-z0-9_-]{1,128}.
	Pattern string `json:"pattern,omitempty"`
	// TTL is how long a key is kept; "" is 1h.
	TTL string `json:"ttl,omitempty"`
}

// Handshake is a request that proves to the provider that we are ours.
type Handshake struct {
	// Kind is echo, compute, fixed, consent (CloudEvents' OPTIONS), confirm (a
	// URL is fetched) or store (a secret is delivered once).
	Kind HandshakeKind `json:"kind"`
	// Methods are those of the request; none is POST.
	Methods []string `json:"methods,omitempty"`
	// For and If are as a Scheme's.
	For map[string]string `json:"for,omitempty"`
	If  []string          `json:"if,omitempty"`
	// Require are values that must be right, such as a verify token.
	Require []Requirement `json:"require,omitempty"`
	// Signed: the request must verify first.
	Signed bool `json:"signed,omitempty"`
	// Challenge is what is echoed, computed over, fetched or stored, and Pattern
	// the regular expression that it must match whole; "" is
	// [A-Za-z0-9._~+/=:-]{1,512}.
	Challenge Selector `json:"challenge,omitempty"`
	Pattern   string   `json:"pattern,omitempty"`
	// Compute makes {computed}.
	Compute *Compute `json:"compute,omitempty"`
	// Setting is where a delivered secret is kept, once (KindStore).
	Setting string `json:"setting,omitempty"`
	// Hosts are those that may be fetched, as RemoteKey's (KindConfirm).
	Hosts []string `json:"hosts,omitempty"`
	// RefusalStatus is what a request is answered with that is this handshake and
	// is not right: another token, origin or form of the challenge; 0 is 403.
	RefusalStatus int `json:"refusalStatus,omitempty"`
	// Publish makes the request an event as well; it must verify for that.
	Publish bool `json:"publish,omitempty"`
	// Answer's Body and Headers know ${SETTING}, {challenge}, {computed} and
	// {endpoint}; in JSON bodies they are escaped as in a string.
	Answer Answer `json:"answer"`
}

// Compute is a value made of a challenge.
type Compute struct {
	// Hash is sha1, sha256 or sha512; with Key it is an HMAC.
	Hash string `json:"hash"`
	// Key is "secret" (the first), a template over settings, or "" for a plain
	// hash; Derive hashes such a template: sha1, sha256.
	Key    string `json:"key,omitempty"`
	Derive string `json:"derive,omitempty"`
	// Template is what is hashed: {challenge}, ${SETTING}, and {endpoint}, which
	// is the setting of that name or else the request's URL without its query.
	Template string `json:"template"`
	Encoding string `json:"encoding"`
}

// Answer is a response. The zero value is the server's own.
type Answer struct {
	// Status is the HTTP status, 200 to 599; 0 leaves it to the server.
	Status      int    `json:"status,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	// Headers are further ones, values by name.
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

// snake is how ids, aliases and settings are named.
const snake = `[a-z][a-z0-9]*(_[a-z0-9]+)*`

// toleranceSetting is declared by having a window.
const toleranceSetting = "tolerance"

// ParseDefinition reads one definition in JSON. An unknown member is an error,
// and so is text behind it; New says whether what it describes can be done.
func ParseDefinition(data []byte) (Definition, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var def Definition
	if err := dec.Decode(&def); err != nil {
		return Definition{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Definition{}, errors.New("there is more text behind the definition")
	}
	return def, nil
}

// AllSettings are those that a source may have: the declared ones, "tolerance"
// where a scheme looks at the clock, and those that only a requirement names.
func (d Definition) AllSettings() []Setting {
	all := slices.Clone(d.Settings)
	declare := func(s Setting) {
		if !slices.ContainsFunc(all, func(t Setting) bool { return t.Name == s.Name }) {
			all = append(all, s)
		}
	}
	if slices.ContainsFunc(d.Schemes, Scheme.hasWindow) {
		declare(Setting{Name: toleranceSetting, Description: "How far the time of signing may lie from now, in either direction: a duration such as 5m, or seconds."})
	}
	for _, s := range d.Schemes {
		for _, r := range s.Require {
			for _, name := range interpolated(r.Equals) {
				declare(Setting{Name: name, Description: "What " + string(r.Value) + " must be; anything is right while this is empty."})
			}
		}
		for _, name := range s.JWT.interpolated() {
			declare(Setting{Name: name, Description: "What the token must name; anything is right while this is empty."})
		}
	}
	for _, h := range d.Handshakes {
		for _, r := range h.Require {
			for _, name := range interpolated(r.Equals) {
				declare(Setting{Name: name, Description: "What " + string(r.Value) + " must be in the provider's handshake.", Secret: true})
			}
		}
		if h.Kind == HandshakeStore {
			declare(Setting{Name: h.Setting, Description: "The secret that the provider delivered in its handshake; it is kept once and never overwritten.", Secret: true})
		}
	}
	return all
}

// hasWindow reports whether the scheme compares a time with now, or may.
func (s Scheme) hasWindow() bool {
	return s.Timestamp.From != "" || s.Kind == KindJWT || s.Kind == KindHTTPSignature || s.Kind == KindCode
}

// interpolated lists the settings that the rules name; nil has none.
func (j *JWT) interpolated() []string {
	if j == nil {
		return nil
	}
	names := interpolated(j.Issuer + j.Audience + j.Subject)
	for _, claim := range slices.Sorted(maps.Keys(j.Claims)) {
		names = append(names, interpolated(j.Claims[claim])...)
	}
	return names
}

// interpolated lists the NAMEs of every ${NAME} in a text.
func interpolated(text string) []string {
	var names []string
	for _, found := range interpolation().FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	return names
}

// interpolation matches one ${NAME}.
func interpolation() *regexp.Regexp { return regexp.MustCompile(`\$\{(` + snake + `)\}`) }
