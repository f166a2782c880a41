package verify

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// asked is what a scheme sees of a request.
func asked(method, url, body string, headers ...string) *input {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	return &input{req: Request{Method: method, URL: url, Header: h, Body: []byte(body)}}
}

// textOf joins the signed text; a refusal is its reason.
func textOf(pieces [][]byte, err *Error) string {
	if err != nil {
		return "refused: " + string(err.Reason)
	}
	var text strings.Builder
	for _, p := range pieces {
		text.Write(p)
	}
	return text.String()
}

// TestContentfulText: the paths are what getNormalizedEncodedURI of Contentful's
// toolkit makes of them.
func TestContentfulText(t *testing.T) {
	signed := func(list string, more ...string) []string {
		return append([]string{contentfulSigned, list, contentfulTimestamp, "17"}, more...)
	}
	tests := map[string]struct {
		url     string
		headers []string
		want    string
	}{
		"the two that are always signed": {"https://h.io/in", signed("x-contentful-signed-headers,x-contentful-timestamp"),
			"POST\n/in\nx-contentful-signed-headers:x-contentful-signed-headers,x-contentful-timestamp;x-contentful-timestamp:17\nbody"},
		"another, listed out of order, with white space": {"https://h.io/in", signed("x-contentful-timestamp,x-a,x-contentful-signed-headers", "X-A", " v "),
			"POST\n/in\nx-a:v;x-contentful-signed-headers:x-a,x-contentful-signed-headers,x-contentful-timestamp;x-contentful-timestamp:17\nbody"},
		"one that is empty": {"https://h.io/in", signed("x-a", "X-A", ""),
			"POST\n/in\nx-a:;x-contentful-signed-headers:x-a,x-contentful-signed-headers,x-contentful-timestamp;x-contentful-timestamp:17\nbody"},
		"one that is not there":     {"https://h.io/in", signed("x-a"), "refused: header_missing"},
		"one that is there twice":   {"https://h.io/in", signed("x-a", "X-A", "1", "X-A", "1"), "refused: duplicate_header"},
		"the list twice":            {"https://h.io/in", signed("x-a", contentfulSigned, "x-b"), "refused: duplicate_header"},
		"more than anybody sends":   {"https://h.io/in", signed(strings.Repeat("a,", 70)), "refused: signature_malformed"},
		"the public URL is unknown": {"", signed("x-a"), "refused: url_missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := textOf(contentfulText(asked("POST", tt.url, "body", tt.headers...))); got != tt.want {
				t.Error(cmp.Diff(tt.want, got))
			}
		})
	}
	for target, want := range map[string]string{
		"/":                  "/",
		"/a?":                "/a",
		"/a?b=c&d=e":         "/a?b%253Dc%2526d%253De",
		"/a%20b?c=%20":       "/a%2520b?c%253D%252520",
		"/a?b?c":             "/a?b",
		"/~!*'();:@&=+$,#é[": "/~!*'();:@&=+$,#%C3%A9%5B",
	} {
		if got := contentfulPath(target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

func TestHygraphText(t *testing.T) {
	for place, want := range map[string]string{
		"sign=x, env=pre \"1\", t=17": `{"Body":"{\"a\":\"\\n\"}\n","EnvironmentName":"pre \"1\"","TimeStamp":17}`,
		"sign=x, env=, t=17":          `{"Body":"{\"a\":\"\\n\"}\n","EnvironmentName":"","TimeStamp":17}`,
		"sign=x, t=17":                "refused: signature_malformed",
		"sign=x, env=a, env=b, t=17":  "refused: duplicate_value",
	} {
		in := asked("POST", "", "{\"a\":\"\\n\"}\n")
		in.begin(&scheme{signature: Signature{Separator: ","}})
		in.place, in.timestamp = place, "17"
		if got := textOf(hygraphText(in)); got != want {
			t.Errorf("%s: %s, want %s", place, got, want)
		}
	}
}

func TestHook0Text(t *testing.T) {
	for place, want := range map[string]string{
		"t=17,h=content-type x-a,v1=0": "17.content-type x-a.application/json.v.body",
		"t=17,h=,v1=0":                 "17...body",
		"t=17,v1=0":                    "refused: signature_malformed",
		"t=17,h=x-b,v1=0":              "refused: header_missing",
		"t=17,h=" + strings.Repeat("x-a ", 70) + "": "refused: signature_malformed",
	} {
		in := asked("POST", "", "body", "Content-Type", "application/json", "X-A", "v")
		in.begin(&scheme{signature: Signature{Separator: ","}})
		in.place, in.timestamp = place, "17"
		if got := textOf(hook0Text(in)); got != want {
			t.Errorf("%s: %s, want %s", place, got, want)
		}
	}
}

// TestPlivoText: the texts are what plivo's npm package hashes.
func TestPlivoText(t *testing.T) {
	tests := map[string]struct{ method, url, body, v3, v2 string }{
		"nothing":              {"POST", "https://h.io/a", "", "https://h.io/a.n", "https://h.io/an"},
		"a form":               {"POST", "https://h.io/a", "b=1&a=x+y&b=%C3%A9&b=0", "https://h.io/a?ax yb0b1bé.n", "https://h.io/an"},
		"a query":              {"POST", "https://h.io/a?z=1&y=%26&z=0", "", "https://h.io/a?y=&&z=0&z=1.n", "https://h.io/an"},
		"both":                 {"POST", "https://h.io/a?z=1", "b=1", "https://h.io/a?z=1.b1.n", "https://h.io/an"},
		"an empty query":       {"POST", "https://h.io/a?", "", "https://h.io/a.n", "https://h.io/an"},
		"a name without value": {"GET", "https://h.io/a?b", "", "https://h.io/a?b=.n", "https://h.io/an"},
		"no path":              {"POST", "https://h.io?a=1", "", "https://h.io?a=1.n", "https://h.ion"},
		"a port":               {"POST", "http://h.io:8080/", "", "http://h.io:8080/.n", "http://h.io:8080/n"},
		"a user":               {"POST", "https://u:p@h.io/a@b?c=1", "", "https://h.io/a@b?c=1.n", "https://h.io/a@bn"},
		"a GET with a body":    {"GET", "https://h.io/a", "b=1", "refused: body_malformed", "https://h.io/an"},
		"another method":       {"PUT", "https://h.io/a", "b=1", "refused: scheme_unmet", "https://h.io/an"},
		"a wrong escape":       {"POST", "https://h.io/a", "b=%zz", "refused: body_malformed", "https://h.io/an"},
		"an unknown URL":       {"POST", "", "", "refused: url_missing", "refused: url_missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := asked(tt.method, tt.url, tt.body, "X-Plivo-Signature-V3-Nonce", "n", "X-Plivo-Signature-V2-Nonce", "n")
			if got := textOf(plivoV3Text(in)); got != tt.v3 {
				t.Errorf("v3: %s, want %s", got, tt.v3)
			}
			if got := textOf(plivoV2Text(in)); got != tt.v2 {
				t.Errorf("v2: %s, want %s", got, tt.v2)
			}
		})
	}
	for name, text := range map[string]func(*input) ([][]byte, *Error){"v3": plivoV3Text, "v2": plivoV2Text} {
		if got := textOf(text(asked("POST", "https://h.io/a", ""))); got != "refused: header_missing" {
			t.Errorf("%s without nonce: %s", name, got)
		}
	}
}

func TestSNSText(t *testing.T) {
	const rest = `"MessageId":"i","Timestamp":"t","TopicArn":"a","Type":"Notification"`
	const confirm = `"MessageId":"i","Timestamp":"t","TopicArn":"a","Type":"SubscriptionConfirmation"`
	for body, want := range map[string]string{
		`{"Message":"m\nn",` + rest + `}`:                                "Message\nm\nn\nMessageId\ni\nTimestamp\nt\nTopicArn\na\nType\nNotification\n",
		`{"Message":"","Subject":"s",` + rest + `}`:                      "Message\n\nMessageId\ni\nSubject\ns\nTimestamp\nt\nTopicArn\na\nType\nNotification\n",
		`{"Message":"m","Subject":null,"Token":"x",` + rest + `}`:        "Message\nm\nMessageId\ni\nTimestamp\nt\nTopicArn\na\nType\nNotification\n",
		`{"Message":"m","SubscribeURL":"u",` + rest + `}`:                "Message\nm\nMessageId\ni\nSubscribeURL\nu\nTimestamp\nt\nTopicArn\na\nType\nNotification\n",
		`{"Message":"m","SubscribeURL":"u","Token":"k",` + confirm + `}`: "Message\nm\nMessageId\ni\nSubscribeURL\nu\nTimestamp\nt\nToken\nk\nTopicArn\na\nType\nSubscriptionConfirmation\n",
		`{"Message":"m","SubscribeURL":"u",` + confirm + `}`:             "refused: value_missing",
		`{"Message":"m","Token":"k",` + confirm + `}`:                    "refused: value_missing",
		`{` + rest + `}`:             "refused: value_missing",
		`{"Message":7,` + rest + `}`: "refused: body_malformed",
		`{"Message":"m","Subject":"s\nTimestamp\nt",` + rest + `}`: "refused: body_malformed",
		`"Message"`:                      "refused: body_malformed",
		`{"Message":"m",` + rest + `}{}`: "refused: body_malformed",
		``:                               "refused: body_malformed",
	} {
		if got := textOf(snsText(asked("POST", "", body))); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// TestSNSMembersStandOnce: only some members are signed, so that a stranger could
// add one that the receiver takes for one of those.
func TestSNSMembersStandOnce(t *testing.T) {
	for body, want := range map[string]bool{
		`{"Type":"Notification","Message":"m","x":1,"x":2}`:      true,
		`{"Type":"Notification","Message":"n","Message":"m"}`:    false,
		`{"Type":"Notification","Message":"m","message":"n"}`:    false,
		`{"Type":"Notification","Message":"m","\u004dessage":1}`: false,
	} {
		if _, err := parseSNS([]byte(body)); (err == nil) != want || err != nil && err.Reason != ReasonDuplicateValue {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestSNSCertificate(t *testing.T) {
	for address, want := range map[string]bool{
		"https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem": true,
		"https://sns.cn-north-1.amazonaws.com.cn/x.pem":                                      true,
		"https://sns.us-gov-west-1.amazonaws.com/a/b.pem":                                    true,
		"http://sns.us-west-2.amazonaws.com/x.pem":                                           false,
		"https://sns.us-west-2.amazonaws.com.evil.example/x.pem":                             false,
		"https://sns.us-west-2.amazonaws.com@evil.example/x.pem":                             false,
		"https://u@sns.us-west-2.amazonaws.com/x.pem":                                        false,
		"https://sns.us-west-2.amazonaws.com:443/x.pem":                                      false,
		"https://sns.us-west-2.amazonaws.com/x.txt":                                          false,
		"https://sns.us-west-2.amazonaws.com/x?a=.pem":                                       false,
		"https://sns.us-west-2.amazonaws.com/x#.pem":                                         false,
		"https://sns.us-west-2.amazonaws.com\\.evil.example/x.pem":                           false,
		"https://sns.us-west-2.amazonaws.com/%2e%2e/x.pem":                                   false,
		"https://evilsns.us-west-2.amazonaws.com/x.pem":                                      false,
		"https://sns.us.west.amazonaws.com/x.pem":                                            false,
		"https://sns.s3-us-west-2.amazonaws.com/x.pem":                                       false, // a bucket called sns
		"https://sns.dualstack.amazonaws.com/x.pem":                                          false,
		"https://s3.amazonaws.com/attacker/x.pem":                                            false,
		"https://sns.us-west-2.amazonaws.com\n/x.pem":                                        false,
		"sns.us-west-2.amazonaws.com/x.pem":                                                  false,
		"":                                                                                   false,
	} {
		if got := newSNSChecker(&scheme{}).keeps(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

func TestUnpackEbay(t *testing.T) {
	pack := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for header, want := range map[string]bool{
		pack(`{"alg":"ecdsa","kid":"k","signature":"AAAA","digest":"SHA1"}`): true,
		pack(`{"kid":"k","signature":"AAAA"}`):                               true,
		pack(`{"signature":"AAAA"}`):                                         false,
		pack(`{"kid":"k"}`):                                                  false,
		pack(`{"kid":"k","signature":"AAA"}`):                                false,
		pack(`{"kid":7,"signature":"AAAA"}`):                                 false,
		pack(`[]`):                                                           false,
		pack(``):                                                             false,
		`{"kid":"k","signature":"AAAA"}`:                                     false,
		pack(`{"kid":"k","signature":"` + strings.Repeat("A", 4096) + `"}`): false,
	} {
		if _, _, got := unpackEbay(header); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
}

// TestBraintreeProof: what cannot be read has no kind, and nothing else comes of
// it, since the payload verified.
func TestBraintreeProof(t *testing.T) {
	for xml, want := range map[string]string{
		"<notification><timestamp type=\"datetime\">x</timestamp><kind>check</kind></notification>\n": `{"kind":"check"}`,
		"<notification><subject><kind>inner</kind></subject></notification>":                          "",
		"<notification><kind>a<b/>&amp;\"</kind></notification>":                                      `{"kind":"a&\""}`,
		"<notification><kind>": "",
		"<!DOCTYPE x [<!ENTITY e \"y\">]><n><kind>&e;</kind></n>": "",
		"":       "",
		"no XML": "",
	} {
		for _, broken := range []string{"", "\n"} {
			payload := base64.StdEncoding.EncodeToString([]byte(xml)) + broken
			if got := string(braintreeProof(payload).claims); got != want {
				t.Errorf("%q: %s, want %s", xml, got, want)
			}
		}
	}
	if got := braintreeProof("!!").claims; got != nil {
		t.Errorf("no base64: %s", got)
	}
}

// TestAtlassianText: the first two are examples of Atlassian's page.
func TestAtlassianText(t *testing.T) {
	tests := []struct{ method, target, base, want string }{
		{"GET", "/?param=foo", "", "GET&/&param=foo"},
		{"POST", "/user", "", "POST&/user&"},
		{"post", "/user/", "", "POST&/user&"},
		{"GET", "/in/x", "/in", "GET&/x&"},
		{"GET", "/in", "/in/", "GET&/&"},
		{"GET", "/inner", "/in", "GET&/inner&"},
		{"GET", "/a&b%20c", "", "GET&/a%26b%20c&"},
		{"GET", "/x?b=2&a=x+y&b=1&jwt=t&c", "", "GET&/x&a=x%20y&b=1,2&c="},
		{"GET", "/x?a%2F=1&a=2", "", "GET&/x&a=2&a%2F=1"},
	}
	for _, tt := range tests {
		if got, ok := atlassianText(tt.method, tt.target, tt.base); !ok || got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.target, got, tt.want)
		}
	}
	for _, target := range []string{"/%zz", "/?a=%zz"} {
		if _, ok := atlassianText("GET", target, ""); ok {
			t.Errorf("%s is taken", target)
		}
	}
}

func TestParseAppleToken(t *testing.T) {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, text := range map[string]string{
		"empty":             "",
		"two parts":         part("{}") + "." + part("{}"),
		"no base64url":      "!." + part("{}") + ".",
		"no header":         part("x") + "." + part("{}") + ".",
		"no certificates":   part(`{"alg":"ES256"}`) + "." + part("{}") + ".",
		"not certificates":  part(`{"alg":"ES256","x5c":["AAAA","AAAA","AAAA"]}`) + "." + part("{}") + ".",
		"not even base64":   part(`{"alg":"ES256","x5c":["!","!","!"]}`) + "." + part("{}") + ".",
		"longer than it is": part("{}") + "." + strings.Repeat("A", maxAppleToken) + ".",
	} {
		if _, ok := parseAppleToken(text); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestCodeChecker: a name that there is not is none, and those that there are
// refuse a scheme without keys.
func TestCodeChecker(t *testing.T) {
	if _, ok := codeChecker("nothing", &scheme{}); ok {
		t.Error("a scheme that there is not")
	}
	for _, name := range []string{"apple", "aws_sns", "braintree", "contentful", "ebay", "hook0_v1", "hygraph", "moralis",
		"nowpayments", "plivo_v2", "plivo_v3"} {
		c, ok := codeChecker(name, &scheme{kind: KindCode})
		if !ok {
			t.Errorf("%s is not there", name)
			continue
		}
		in := asked("POST", "https://h.io/", `{"SigningCertURL":"https://sns.us-west-2.amazonaws.com/x.pem"}`)
		if _, err := c.check(t.Context(), in); err == nil || err.Reason != ReasonSecretMissing {
			t.Errorf("%s without a key: %v", name, err)
		}
	}
}

// FuzzCodeTexts: whatever a request is made of, nothing panics, and what is read
// ends.
func FuzzCodeTexts(f *testing.F) {
	f.Add("POST", "https://h.io/a?b=1", "c=1&d=2", "sign=x, env=y, t=1", "content-type,x-a")
	f.Add("GET", "://@?#", `{"Message":"m","Type":"SubscriptionConfirmation"}`, "h=x", ",,")
	f.Fuzz(func(t *testing.T, method, url, body, place, list string) {
		in := asked(method, url, body, contentfulSigned, list, contentfulTimestamp, "1", "X-Plivo-Signature-V3-Nonce", place,
			"X-Plivo-Signature-V2-Nonce", list, "X-A", place)
		in.now = time.Unix(1, 0)
		in.begin(&scheme{signature: Signature{Separator: ","}})
		in.place, in.timestamp = place, "1"
		for _, text := range []func(*input) ([][]byte, *Error){contentfulText, hygraphText, hook0Text, plivoV3Text, plivoV2Text, snsText, nowPaymentsText} {
			pieces, err := text(in)
			if (pieces == nil) == (err == nil) {
				t.Errorf("text %q with error %v", pieces, err)
			}
		}
		unpackEbay(place)
		braintreeProof(body)
		atlassianText(method, url, list)
		parseAppleToken(body)
		newSNSChecker(&scheme{}).keeps(url)
	})
}
