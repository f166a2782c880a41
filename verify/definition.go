package verify

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

// Definition says how one provider signs its requests and where it puts what
// Postern wants to know. It is the schema of the files under providers/, which
// are read strictly: an unknown member is an error.
//
// A text member whose whole value is ${NAME} takes the value of that setting.
type Definition struct {
	// ID names the provider in a source and in the type of a nameless event:
	// lower-case letters, digits and '_'. It is the name of the file.
	ID string `json:"id"`
	// Name is for people.
	Name string `json:"name"`
	// Docs is the address of the provider's own page on its signature.
	Docs string `json:"docs,omitempty"`
	// Settings are what a source may or must say besides its secrets.
	Settings []Setting `json:"settings,omitempty"`
	// Schemes are alternatives: a request is verified if one of them accepts it.
	Schemes []Scheme `json:"schemes"`
	// EventType and DeliveryID are tried in order; the first that is there wins.
	EventType  []Selector `json:"eventType,omitempty"`
	DeliveryID []Selector `json:"deliveryId,omitempty"`
}

// Setting is one value that the configuration of a source gives.
type Setting struct {
	// Name is in snake_case.
	Name        string `json:"name"`
	Description string `json:"description"`
	// Default counts when a source leaves the setting out or empty.
	Default string `json:"default,omitempty"`
	// Required refuses a source that leaves it out.
	Required bool `json:"required,omitempty"`
	// Values are the only ones allowed; none means any text.
	Values []string `json:"values,omitempty"`
}

// Kind is the primitive behind a Scheme.
type Kind string

// The kinds of scheme. KindNone accepts everything and takes no secrets.
const (
	KindHMAC    Kind = "hmac"
	KindEd25519 Kind = "ed25519"
	KindNone    Kind = "none"
)

// Scheme is one way in which a provider signs.
type Scheme struct {
	Kind Kind `json:"kind"`
	// Hash is sha1, sha256 or sha512; for KindHMAC alone.
	Hash string `json:"hash,omitempty"`
	// Key says how a secret's text becomes the key.
	Key KeyForm `json:"key,omitzero"`
	// Signature says where the signatures are and how they are written.
	Signature Signature `json:"signature,omitzero"`
	// Timestamp says where {timestamp} is; without a header there is none.
	Timestamp Timestamp `json:"timestamp,omitzero"`
	// ID is the header that holds {id}; empty means that there is none.
	ID string `json:"id,omitempty"`
	// Template is the signed text: literal text and the placeholders {body},
	// {timestamp}, {id}, {url}, {method} and {header:NAME}. {body} must be there.
	Template string `json:"template,omitempty"`
}

// KeyForm says how a secret is written.
type KeyForm struct {
	// Form is utf8 (the bytes as they are), hex or base64.
	Form string `json:"form"`
	// Prefix marks the secrets that are for this scheme and is not part of the
	// key. A secret that has the prefix of one scheme is used by no other, so
	// that a public key never becomes an HMAC key.
	Prefix string `json:"prefix,omitempty"`
	// Bare takes secrets without any known prefix, too.
	Bare bool `json:"bare,omitempty"`
}

// Signature says where the signatures are.
type Signature struct {
	Header string `json:"header"`
	// Separator splits the header into several signatures, white space around
	// each dropped; empty means that the whole value is one.
	Separator string `json:"separator,omitempty"`
	// Prefix stands before each signature. Elements without it, such as those of
	// an unknown version, are ignored.
	Prefix string `json:"prefix,omitempty"`
	// Encoding is hex, base64 (padded) or base64url (padding optional).
	Encoding string `json:"encoding"`
}

// Timestamp says where the time of signing is.
type Timestamp struct {
	Header string `json:"header"`
	// Unit is s or ms (since 1970, digits alone) or rfc3339.
	Unit string `json:"unit"`
	// Tolerance is how far the timestamp may lie from now, both ways: a Go
	// duration or a number of seconds, from 1 s to 24 h.
	Tolerance string `json:"tolerance"`
}

// Selector says where a value of an event stands: "header:NAME", "json:PATH"
// (names and array positions joined by dots, in a JSON body), or "id" for the
// signed {id} of the scheme that accepted the request.
type Selector string

// catalogue is read-only: one file per provider, so that a lookup reads only
// what it is asked for and nothing is kept.
//
//go:embed providers/*.json
var catalogue embed.FS

// Lookup returns the definition of a provider; false if there is none. '-' in
// the id counts as '_', since people write both.
func Lookup(provider string) (Definition, bool) {
	id := strings.ReplaceAll(provider, "-", "_")
	data, err := catalogue.ReadFile("providers/" + id + ".json")
	if err != nil {
		return Definition{}, false
	}
	def, err := parseDefinition(data)
	if err != nil {
		// The files are part of the program and every one is read by a test.
		panic(fmt.Sprintf("verify: providers/%s.json: %v", id, err))
	}
	return def, true
}

// Providers lists the ids that Lookup knows, sorted.
func Providers() []string {
	entries, err := catalogue.ReadDir("providers")
	if err != nil {
		panic(err) // the folder is embedded
	}
	ids := make([]string, len(entries))
	for i, entry := range entries {
		ids[i] = strings.TrimSuffix(entry.Name(), ".json")
	}
	return ids
}

func parseDefinition(data []byte) (Definition, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var def Definition
	err := dec.Decode(&def)
	return def, err
}
