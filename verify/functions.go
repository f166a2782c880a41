package verify

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"hash/crc32"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// maxInflated bounds what a compressed body may become, in bytes: a thousandth
// of it is enough to ask for it.
const maxInflated = 10 << 20

// convert is one of the functions of a template that single providers need. They
// may refuse, which those of apply never do: an empty text in place of a body
// that does not read would be signed text that anybody can know.
func convert(function string, text []byte) (converted []byte, known bool, err *Error) {
	switch function {
	case "gunzip":
		converted, err = inflate(text)
	case "json":
		converted, err = oneJSON(text)
	case "weight":
		converted = wholeWeights().ReplaceAll(text, []byte("${1}${2}.0${3}"))
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

// wholeWeights finds the weights of EasyPost that its signature has with a
// fraction and bodies that were decoded on the way have without.
func wholeWeights() *regexp.Regexp {
	return regexp.MustCompile(`("weight":\s*)(\d+)(\s*[,}])`)
}

// delimiters decodes the escapes that HubSpot decodes before it signs a URL, and
// leaves all others, %20 and %25 among them.
func delimiters() *strings.Replacer {
	return strings.NewReplacer("%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'",
		"%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
		"%3a", ":", "%2f", "/", "%3f", "?", "%2a", "*", "%2c", ",", "%3b", ";")
}
