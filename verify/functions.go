package verify

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxInflated bounds what a compressed body may become, in bytes: a thousandth
// of it is enough to ask for it.
const maxInflated = 10 << 20

// maxRewritten bounds, in bytes, a text that is taken apart and written again.
// That is some hundred times as slow as hashing, and comes before the signature.
const maxRewritten = 4 << 20

func errTooLongToRewrite() *Error {
	return &Error{ReasonBodyMalformed, "the body is more than 4 MiB, which is too long to be written again as it is signed"}
}

// functions are the names that apply knows, for whoever misspelt one.
const functions = "md5 sha1 sha256 sha512 hex base64 base64url lower upper port noport gunzip json canonical weight ascii crc32 unescape"

// apply is one function of a template, known if there is one of that name. Those
// that single providers need may refuse: an empty text in place of a body that
// does not read would be signed text that anybody can know.
func apply(function string, text []byte) (converted []byte, known bool, err *Error) {
	switch function {
	case "md5", "sha1", "sha256", "sha512":
		h, _ := hashNamed(function)
		sum := h.new()
		sum.Write(text)
		converted = sum.Sum(nil)
	case "hex":
		converted = hex.AppendEncode(nil, text)
	case "base64":
		converted = base64.StdEncoding.AppendEncode(nil, text)
	case "base64url":
		converted = base64.RawURLEncoding.AppendEncode(nil, text)
	case "lower":
		converted = bytes.ToLower(text)
	case "upper":
		converted = bytes.ToUpper(text)
	case "port", "noport":
		converted = withPort(string(text), function == "port")
	case "gunzip":
		converted, err = inflate(text)
	case "json":
		converted, err = oneJSON(text)
	case "canonical":
		converted, err = canonicalJSON(text)
	case "weight":
		if len(text) > maxRewritten {
			return nil, true, errTooLongToRewrite()
		}
		converted = wholeWeights().ReplaceAll(text, []byte("${1}${2}.0${3}"))
	case "ascii":
		if len(text) > maxRewritten {
			return nil, true, errTooLongToRewrite()
		}
		converted = toASCII(text)
	case "crc32":
		converted = strconv.AppendUint(nil, uint64(crc32.ChecksumIEEE(text)), 10)
	case "unescape":
		converted = []byte(delimiters().Replace(string(text)))
	default:
		return nil, false, nil
	}
	return converted, true, err
}

// inflate undoes gzip where the text is compressed: Stream signs what it had
// before. Whether it is, the text itself says; no JSON begins like that.
func inflate(text []byte) ([]byte, *Error) {
	if !isCompressed(text) {
		return text, nil
	}
	unreadable := &Error{ReasonBodyMalformed, "the body begins as gzip and is not"}
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, unreadable
	}
	inflated, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err != nil {
		return nil, unreadable
	}
	if len(inflated) > maxInflated {
		return nil, &Error{ReasonBodyMalformed, "the body is more than 10 MiB once it is inflated"}
	}
	return inflated, nil
}

// isCompressed goes by the two bytes that gzip begins with: Content-Encoding may be
// gone by the time that a proxy has passed the request on, or lie.
func isCompressed(text []byte) bool { return bytes.HasPrefix(text, []byte{0x1f, 0x8b}) }

// oneJSON refuses what is neither empty nor one JSON value. Where a plain hash
// begins with the secret, whoever has seen a signature can make one for the same
// body with more behind it, but the bytes between the two are never JSON.
func oneJSON(text []byte) ([]byte, *Error) {
	if len(text) > 0 && !json.Valid(text) {
		return nil, &Error{ReasonBodyMalformed, "the body is not JSON, and only that is safe under a plain hash"}
	}
	return text, nil
}

// canonicalJSON is the form of RFC 8785, which some providers sign whatever form
// they send. White space around a document is none of theirs and is refused.
func canonicalJSON(text []byte) ([]byte, *Error) {
	if len(text) > maxRewritten {
		return nil, errTooLongToRewrite()
	}
	canonical, err := sortedJSON(text, appendJSNumber)
	if err != nil || len(bytes.TrimSpace(text)) != len(text) {
		return nil, &Error{ReasonBodyMalformed, "the body is not JSON that has a canonical form"}
	}
	return canonical, nil
}

// wholeWeights finds the weights of EasyPost that its signature has with a
// fraction and bodies that were decoded on the way have without. White space
// behind them goes, as it does in the vendor's own SDK.
func wholeWeights() *regexp.Regexp {
	return regexp.MustCompile(`("weight":\s*)(\d+)\s*([,}])`)
}

// toASCII writes JSON as Box signs it, where a body was decoded on the way: what
// is beyond ASCII as the escapes of UTF-16, and slashes escaped. Either form is
// the same JSON, so that nobody gains by exchanging them; behind a backslash they
// might differ, so that there, as where it is no UTF-8, the text stays.
func toASCII(text []byte) []byte {
	escaped := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1, i > 0 && text[i-1] == '\\':
			escaped = append(escaped, text[i:i+size]...)
		case r == '/':
			escaped = append(escaped, `\/`...)
		case r < 0x7f:
			escaped = append(escaped, byte(r))
		default:
			escaped = appendEscaped(escaped, r)
		}
		i += size
	}
	return escaped
}

// appendEscaped appends a character as JSON escapes it, which is in UTF-16: what is
// beyond 16 bits takes two.
func appendEscaped(dst []byte, r rune) []byte {
	for _, unit := range utf16.AppendRune(nil, r) {
		dst = fmt.Appendf(dst, `\u%04x`, unit)
	}
	return dst
}

// delimiters decodes the escapes that HubSpot decodes before it signs a URL, and
// leaves all others, %20 and %25 among them.
func delimiters() *strings.Replacer {
	return strings.NewReplacer("%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'",
		"%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
		"%3a", ":", "%2f", "/", "%3f", "?", "%2a", "*", "%2c", ",", "%3b", ";")
}

// withPort spells out the port of a URL, the scheme's own if it says none, or
// leaves it out. The rest stays as it is written.
func withPort(text string, out bool) []byte {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return []byte(text)
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host := rest[:end]
	// A colon in front of these belongs to credentials or to an IPv6 address.
	port := strings.LastIndexByte(host, ':')
	said := port > strings.LastIndexAny(host, "]@")
	switch {
	case out && !said && scheme == "https":
		host += ":443"
	case out && !said && scheme == "http":
		host += ":80"
	case !out && said:
		host = host[:port]
	}
	return []byte(scheme + "://" + host + rest[end:])
}
