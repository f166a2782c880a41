package verify

import (
	"fmt"
	"net/textproto"
	"strings"
)

// hook0Text is what Hook0 signs as v1, and so Coinbase, which sends through it:
// timestamp, the names of some headers, their values, and the body.
func hook0Text(in *input) ([][]byte, *Error) {
	list, present, err := in.element("h")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, &Error{ReasonSignatureMalformed, "h= is missing beside the signature"}
	}
	head := in.timestamp + "." + list + "."
	names := strings.Fields(list)
	if len(names) > maxSignedHeaders {
		return nil, &Error{ReasonSignatureMalformed, fmt.Sprintf("h= lists more than %d headers", maxSignedHeaders)}
	}
	// One that is listed must be there, or anybody on the way could take it off.
	values := make([]string, len(names))
	for i, name := range names {
		if values[i], err = in.header(textproto.CanonicalMIMEHeaderKey(name)); err != nil {
			return nil, err
		}
	}
	return [][]byte{[]byte(head + strings.Join(values, ".") + "."), in.req.Body}, nil
}
