package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postern-dev/postern/verify"
)

// fact is one line of a provider's sheet. What is written so in a request or a
// configuration stands in backquotes.
type fact struct{ Label, Text string }

// sheetOf says in words what a definition does, the same in a terminal and in
// the documentation. Facts that a definition has nothing for are left out.
func sheetOf(def verify.Definition) []fact {
	var facts []fact
	add := func(label, text string) {
		if text != "" {
			facts = append(facts, fact{label, text})
		}
	}
	for _, s := range def.Schemes {
		add("Verified", schemeWords(s))
	}
	add("Not covered", def.Unsigned)
	for _, h := range def.Handshakes {
		add("Handshake", handshakeWords(h))
	}
	add("Event type", selectorsWords(def.EventType))
	add("Delivery id", selectorsWords(def.DeliveryID))
	add("Single use", selectorsWords(def.Replay))
	add("Methods", listWords(def.Methods, "besides POST "))
	add("Answer", answerWords(def.Answer))
	if def.RefusalStatus != 0 {
		add("Refused with", fmt.Sprint(def.RefusalStatus))
	}
	for _, s := range def.AllSettings() {
		add("Setting", settingWords(s))
	}
	add("URL goes to", def.Setup.URL)
	add("Secret is in", def.Setup.Secret)
	add("Status", statusWords(def))
	add("Page", def.Docs)
	return facts
}

// schemesShort is what fits into a table: the primitives, each once.
func schemesShort(def verify.Definition) string {
	var all []string
	for _, s := range def.Schemes {
		short := primitiveWords(s)
		if s.Timestamp.From != "" {
			short += ", timestamp"
		}
		if !slices.Contains(all, short) {
			all = append(all, short)
		}
	}
	return strings.Join(all, "; ")
}

// primitiveWords names the cryptography, or what stands in for it.
func primitiveWords(s verify.Scheme) string {
	switch s.Kind {
	case verify.KindHMAC:
		return "HMAC-" + strings.Replace(hashWords(s.Hash), "-", "", 1)
	case verify.KindHash:
		return hashWords(s.Hash) + " with the secret"
	case verify.KindEd25519:
		return "Ed25519"
	case verify.KindECDSA:
		return "ECDSA " + hashWords(s.Hash)
	case verify.KindRSA:
		return "RSA " + hashWords(s.Hash)
	case verify.KindJWT:
		if s.JWT != nil {
			return "JWT " + strings.Join(s.JWT.Algorithms, "/")
		}
		return "JWT"
	case verify.KindToken:
		return "shared token"
	case verify.KindBasic:
		return "basic authentication"
	case verify.KindHTTPSignature:
		return "HTTP message signature"
	case verify.KindNone:
		return "nothing"
	case verify.KindCode:
		primitive, _ := codeWords(s.Code)
		return primitive
	}
	return string(s.Kind)
}

// codeWords names the primitive of a scheme that is code, and says what is signed
// with it. A test holds that each has its words.
func codeWords(name string) (primitive, text string) {
	switch name {
	case "apple":
		return "JWS ES256 with certificates", "the whole payload; the chain of certificates in the token must end at the configured root"
	case "atlassian_connect":
		return "JWT HS256", "method, path and sorted query, the hash of which is its claim `qsh`"
	case "aws_sns":
		return "RSA with a certificate", "the names and values of the members that a message of its type has, a line each; the certificate comes from Amazon's own hosts alone"
	case "braintree":
		return "HMAC-SHA1", "the form field `bt_payload`; the secret is `PUBLIC_KEY:PRIVATE_KEY`, the SHA-1 of the private key is the key"
	case "contentful":
		return "HMAC-SHA256", "method, path, the headers that `X-Contentful-Signed-Headers` lists, and body, a line each"
	case "ebay":
		return "ECDSA SHA-1", "the body, with the key that the header names"
	case "hook0_v1":
		return "HMAC-SHA256", "the timestamp, the names of some headers, their values, and the body, joined by dots"
	case "hygraph":
		return "HMAC-SHA256", "a JSON object of the body as a string, the environment and the timestamp"
	case "moralis":
		return "Keccak-256 with the secret", "the body with the secret behind it"
	case "nowpayments":
		return "HMAC-SHA512", "the body, written again with the members of its objects sorted"
	case "plivo_v2":
		return "HMAC-SHA256", "the URL without its query, and a nonce"
	case "plivo_v3":
		return "HMAC-SHA256", "the URL with its query sorted, the form's fields sorted, and a nonce"
	case "wix":
		return "JWT RS256", "the body, which is the token"
	}
	return "a scheme of its own", "what " + code(name) + " says"
}

// hashWords is how people write the name of a hash function.
func hashWords(name string) string {
	if size, ok := strings.CutPrefix(name, "sha"); ok {
		return "SHA-" + size
	}
	if name == "md5" {
		return "MD5"
	}
	return name // a setting, ${hash}
}

// schemeWords is how one alternative signs, in one sentence.
func schemeWords(s verify.Scheme) string {
	parts := []string{primitiveWords(s)}
	if s.Template != "" {
		parts[0] += " of " + code(s.Template)
	}
	if s.Kind == verify.KindCode {
		_, text := codeWords(s.Code)
		parts[0] += " of " + text
	}
	if len(s.Signature.From) > 0 {
		parts = append(parts, signatureWords(s.Signature))
	}
	if key := keyWords(s.Key); key != "" {
		parts = append(parts, key)
	}
	if s.Remote != nil {
		parts = append(parts, "without a secret the key is fetched from "+code(s.Remote.URL))
	}
	if s.ID != "" {
		parts = append(parts, "id in "+selectorWords(s.ID))
	}
	if s.Timestamp.From != "" {
		parts = append(parts, timestampWords(s.Timestamp))
	}
	if s.Each != "" {
		parts = append(parts, "every item of "+selectorWords(s.Each)+" must verify")
	}
	for _, d := range s.Digests {
		parts = append(parts, selectorWords(d.Value)+" must be the "+hashWords(d.Hash)+" of "+code(d.Of)+" in "+d.Encoding)
	}
	for _, r := range s.Require {
		parts = append(parts, selectorWords(r.Value)+" must be "+code(r.Equals))
	}
	if s.JWT != nil {
		parts = append(parts, jwtWords(*s.JWT)...)
	}
	return conditionWords(s.For, s.If) + strings.Join(parts, "; ")
}

func signatureWords(s verify.Signature) string {
	text := "in " + selectorsWords(s.From)
	switch s.Encoding {
	case "", "raw":
	default:
		text += " as " + s.Encoding
	}
	if s.Prefix != "" {
		text += " after " + code(s.Prefix)
	}
	if s.Separator != "" {
		text += ", several split at " + code(s.Separator)
	}
	return text
}

func keyWords(k verify.KeyForm) string {
	var text string
	switch k.Form {
	case "":
		return ""
	case "utf8":
		text = "the secret is the key as it is"
	case "pem":
		text = "the secret is a PEM public key or certificate"
	case "spki":
		text = "the secret is a public key (base64 of DER)"
	case "jwk":
		text = "the secret is a JSON web key"
	default:
		text = "the secret is the key in " + k.Form
	}
	if k.Prefix != "" {
		text += " after " + code(k.Prefix)
	}
	if k.Strip != "" {
		text += ", without " + code(k.Strip)
	}
	if k.Suffix != "" {
		text += ", with " + code(k.Suffix) + " put behind it"
	}
	if k.Normalize != "" {
		text += ", in Unicode form " + strings.ToUpper(k.Normalize)
	}
	if k.Derive != "" {
		text += ", of which the " + hashWords(k.Derive) + " is the key"
	}
	return text
}

func timestampWords(t verify.Timestamp) string {
	window := t.Tolerance
	if window == "" {
		window = "5m"
	}
	return "timestamp in " + selectorWords(t.From) + " (" + t.Unit + "), within " + code(window) + " of now"
}

func jwtWords(j verify.JWT) []string {
	var parts []string
	for _, rule := range []struct{ claim, value string }{{"iss", j.Issuer}, {"aud", j.Audience}, {"sub", j.Subject}} {
		if rule.value != "" {
			parts = append(parts, code(rule.claim)+" must be "+code(rule.value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.Claims)) {
		parts = append(parts, code(name)+" must be "+code(j.Claims[name]))
	}
	if len(j.Required) > 0 {
		parts = append(parts, "claims required: "+codes(j.Required))
	}
	if j.MaxAge != "" {
		parts = append(parts, "issued within "+j.MaxAge+" of now")
	}
	return parts
}

// conditionWords says when an alternative or a handshake is looked at.
func conditionWords(settings map[string]string, conditions []string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		parts = append(parts, code(name)+" is "+code(settings[name]))
	}
	for _, c := range conditions {
		selector, value, equals := strings.Cut(c, "=")
		absent := strings.HasPrefix(selector, "!")
		words := selectorWords(verify.Selector(strings.TrimPrefix(selector, "!")))
		switch {
		case equals:
			parts = append(parts, words+" is "+code(value))
		case absent:
			parts = append(parts, "there is no "+words)
		default:
			parts = append(parts, "there is "+words)
		}
	}
	if parts == nil {
		return ""
	}
	return "if " + strings.Join(parts, " and ") + ": "
}

// handshakeWords says what is answered to a request that is no event.
func handshakeWords(h verify.Handshake) string {
	methods := "POST"
	if len(h.Methods) > 0 {
		methods = strings.Join(h.Methods, " or ")
	}
	text := methods + ", " + conditionWords(h.For, h.If)
	switch h.Kind {
	case verify.HandshakeEcho:
		text += "answers with " + selectorWords(h.Challenge)
	case verify.HandshakeCompute:
		text += "answers with a value computed of " + selectorWords(h.Challenge)
	case verify.HandshakeFixed:
		text += "a fixed answer"
	case verify.HandshakeConsent:
		text += "allows the origin to send, if it is one of the source's"
	case verify.HandshakeConfirm:
		text += "fetches " + selectorWords(h.Challenge) + " once, at the provider's own hosts alone"
	case verify.HandshakeStore:
		text += "keeps " + selectorWords(h.Challenge) + " as the secret, once"
	default:
		text += string(h.Kind)
	}
	if h.Signed {
		text += "; must verify first"
	}
	for _, r := range h.Require {
		text += "; " + selectorWords(r.Value) + " must be " + code(r.Equals)
	}
	if h.Publish {
		text += "; it is an event as well"
	}
	return text
}

func answerWords(a verify.Answer) string {
	var parts []string
	if a.Status != 0 {
		parts = append(parts, fmt.Sprint(a.Status))
	}
	if a.Body != "" {
		parts = append(parts, code(a.Body))
	}
	if a.ContentType != "" {
		parts = append(parts, a.ContentType)
	}
	return strings.Join(parts, ", ")
}

func settingWords(s verify.Setting) string {
	text := code(s.Name) + ": " + s.Description
	switch {
	case s.Required:
		text += " (required)"
	case s.Default != "":
		text += " (default " + code(s.Default) + ")"
	}
	if len(s.Values) > 0 {
		text += "; one of " + codes(s.Values)
	}
	return text
}

func statusWords(def verify.Definition) string {
	text := string(def.Status)
	switch def.Status {
	case verify.StatusGeneric:
		text = "generic, nobody's in particular"
	case verify.StatusSDK:
		text = "agrees with the vendor's own SDK, which was run"
	case verify.StatusVector:
		text = "reproduces an example that the vendor published"
	case verify.StatusDocumented:
		text = "follows the vendor's own page"
	case verify.StatusReported:
		text = "follows independent code that cites the vendor"
	case verify.StatusExperimental:
		text = "experimental: sources disagree, or only part of it was seen"
	}
	if def.Source != "" {
		text += " (" + def.Source + ")"
	}
	return text
}

// selectorWords says where a value stands.
func selectorWords(s verify.Selector) string {
	form, name, _ := strings.Cut(string(s), ":")
	switch form {
	case "header":
		return "header " + code(name)
	case "query":
		return "query parameter " + code(name)
	case "form", "multipart":
		return form + " field " + code(name)
	case "json", "item":
		return form + " " + code(name)
	case "claim":
		return "claim " + code(name)
	case "element":
		return "the element " + code(name) + " of it"
	case "body":
		return "the body"
	case "id":
		return "the signed id"
	case "literal":
		return code(name)
	}
	return code(string(s))
}

// selectorsWords joins alternatives; '+' joins several into one value.
func selectorsWords(all []verify.Selector) string {
	words := make([]string, len(all))
	for i, s := range all {
		joined := strings.Split(string(s), "+")
		for j := range joined {
			joined[j] = selectorWords(verify.Selector(joined[j]))
		}
		words[i] = strings.Join(joined, " and ")
	}
	return strings.Join(words, ", else ")
}

func listWords(list []string, before string) string {
	if len(list) == 0 {
		return ""
	}
	return before + strings.Join(list, ", ")
}

// code marks text as it is written in a request or a configuration; a newline
// is spelt out, and so is a blank, which nobody would see.
func code(text string) string {
	if text == " " {
		return "blanks"
	}
	return "`" + strings.ReplaceAll(text, "\n", `\n`) + "`"
}

func codes(list []string) string {
	marked := make([]string, len(list))
	for i, text := range list {
		marked[i] = code(text)
	}
	return strings.Join(marked, ", ")
}
