package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// snsChecker checks messages of Amazon SNS, which name their certificate
// themselves.
type snsChecker struct {
	signatureChecker
	host *regexp.Regexp // of certificates
}

// newSNSChecker takes Amazon's hosts in all regions, China's included.
func newSNSChecker(s *scheme) snsChecker {
	return snsChecker{signatureChecker{s, snsText}, regexp.MustCompile(`^sns\.[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(\.cn)?$`)}
}

// check looks at the address first: what is not Amazon's must not be fetched,
// and a certificate from the configuration does not make it any better.
func (c snsChecker) check(ctx context.Context, in *input) (proof, *Error) {
	address, err := in.required(selector{form: "json", path: []string{"SigningCertURL"}}, ReasonValueMissing)
	if err != nil {
		return proof{}, err
	}
	if !c.keeps(address) {
		return proof{}, &Error{ReasonKeyForbidden, "SigningCertURL is not a .pem on a host of Amazon SNS"}
	}
	return c.signatureChecker.check(ctx, in)
}

// keeps reports whether Amazon keeps its certificates at the address. User,
// port, query and fragment, which parsers differ about, are none of it.
func (c snsChecker) keeps(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.String() != address || strings.ContainsAny(address, "?#@%\\") {
		return false
	}
	return c.host.MatchString(u.Host) && strings.HasSuffix(u.Path, ".pem")
}

// snsText is what Amazon SNS signs: name and value of the members that a message
// of its type has, a line each, in the order of their names. Null is absent.
func snsText(in *input) ([][]byte, *Error) {
	m, err := parseSNS(in.req.Body)
	if err != nil {
		return nil, err
	}
	signed := []string{"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "TopicArn", "Type"}
	required := []string{"Message", "MessageId", "Timestamp", "TopicArn", "Type"}
	// What is about a subscription signs its token as well, and is nothing without.
	if t := m["Type"]; t == "SubscriptionConfirmation" || t == "UnsubscribeConfirmation" {
		signed = slices.Insert(signed, 5, "Token")
		required = append(required, "SubscribeURL", "Token")
	}
	var text []byte
	for _, name := range signed {
		value, present := m[name]
		if present {
			text = fmt.Appendf(text, "%s\n%s\n", name, value)
		} else if slices.Contains(required, name) {
			return nil, &Error{ReasonValueMissing, name + " is missing"}
		}
	}
	return [][]byte{text}, nil
}

// parseSNS reads the members that are signed. All but the message stand on one
// line: line breaks separate them in the signed text, and one inside a value
// would let it pass for two.
func parseSNS(body []byte) (map[string]string, *Error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, &Error{ReasonBodyMalformed, "the body is not a JSON object; is raw message delivery on?"}
	}
	m := map[string]string{}
	for _, name := range []string{"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"} {
		// Lambda's form of a message has a null subject where there is none.
		raw, present := all[name]
		if !jsonUnique(body, []string{name}) {
			return nil, &Error{ReasonDuplicateValue, name + " is there more than once"}
		}
		if !present || bytes.Equal(raw, []byte("null")) {
			continue
		}
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return nil, &Error{ReasonBodyMalformed, name + " is not a string"}
		}
		if name != "Message" && strings.Contains(text, "\n") {
			return nil, &Error{ReasonBodyMalformed, name + " has a line break"}
		}
		m[name] = text
	}
	return m, nil
}
