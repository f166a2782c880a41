package sign_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/sign"
)

func TestVerify(t *testing.T) {
	key, other := sign.GenerateSymmetric(), sign.GenerateSymmetric()
	private := sign.GenerateEd25519()
	public, _ := private.Public()
	sig := func(keys ...sign.Key) string {
		return string(newSigner(t, keys...).AppendSignatures(nil, messageID, sentAt, []byte(payload)))
	}
	good := sig(key)
	long := strings.Repeat(sig(other)+" ", sign.MaxSignatures)

	for _, tc := range []struct {
		name   string
		change func(h http.Header)
		keys   []sign.Key
		want   error
	}{
		{name: "valid"},
		{name: "one of several keys", keys: []sign.Key{other, key}},
		{name: "another key", keys: []sign.Key{other}, want: sign.ErrNoMatch},
		{name: "no keys", keys: []sign.Key{}, want: sign.ErrKeyEmpty},
		{name: "zero key", keys: []sign.Key{{}}, want: sign.ErrKeyEmpty},
		{name: "good signature last", change: set("signature", sig(other)+" "+good)},
		{name: "unknown versions", change: set("signature", "v2,AAAA v0,"+good[3:]+" "+good)},
		{name: "under an unknown version only", change: set("signature", "v2,"+good[3:]), want: sign.ErrNoMatch},
		{name: "without version", change: set("signature", good[3:]), want: sign.ErrNoMatch},
		{name: "empty digest", change: set("signature", "v1,"), want: sign.ErrNoMatch},
		{name: "truncated", change: set("signature", good[:len(good)-4]), want: sign.ErrNoMatch},
		{name: "extended", change: set("signature", good+"AAAA"), want: sign.ErrNoMatch},
		{name: "in hexadecimal", change: set("signature", "v1,"+strings.Repeat("a4", 32)), want: sign.ErrNoMatch},
		{name: "line break inside", change: set("signature", good[:9]+"\n"+good[9:]), want: sign.ErrNoMatch},
		{name: "the last that counts", change: set("signature", long[:len(long)-len(good)-1]+good)},
		{name: "behind many that are too short", change: set("signature", strings.Repeat("v1,AAAA v1a,AAAA ", sign.MaxSignatures)+good)},
		{name: "one too many", change: set("signature", long+good), want: sign.ErrNoMatch},
		{name: "asymmetric", keys: []sign.Key{public}, change: set("signature", good+" "+sig(private))},
		{name: "asymmetric by private key", keys: []sign.Key{private}, change: set("signature", sig(private))},
		{name: "v1a bytes as v1", change: set("signature", "v1,"+sig(private)[4:]), want: sign.ErrNoMatch},
		{name: "v1 bytes as v1a", keys: []sign.Key{public}, change: set("signature", "v1a,"+good[3:]), want: sign.ErrNoMatch},
		{name: "signature missing", change: set("signature", ""), want: sign.ErrHeaderMissing},
		{name: "timestamp missing", change: set("timestamp", ""), want: sign.ErrHeaderMissing},
		{name: "id missing", change: set("id", ""), want: sign.ErrHeaderMissing},
		{name: "other id", change: set("id", "msg_x"), want: sign.ErrNoMatch},
		{name: "signature repeated", change: add("signature", good), want: sign.ErrHeaderDuplicate},
		{name: "timestamp repeated", change: add("timestamp", "1"), want: sign.ErrHeaderDuplicate},
		{name: "id repeated", change: add("id", "msg_x"), want: sign.ErrHeaderDuplicate},
		{name: "timestamp with junk", change: set("timestamp", strconv.FormatInt(sentAt, 10)+"abc"), want: sign.ErrTimestampMalformed},
		{name: "timestamp signed", change: set("timestamp", "+"+strconv.FormatInt(sentAt, 10)), want: sign.ErrTimestampMalformed},
		{name: "timestamp with zero", change: set("timestamp", "0"+strconv.FormatInt(sentAt, 10)), want: sign.ErrTimestampMalformed},
		{name: "timestamp negative", change: set("timestamp", "-1"), want: sign.ErrTimestampMalformed},
		{name: "timestamp too large", change: set("timestamp", "99999999999999999999"), want: sign.ErrTimestampMalformed},
		{name: "timestamp NaN", change: set("timestamp", "NaN"), want: sign.ErrTimestampMalformed},
		{name: "other timestamp", change: set("timestamp", strconv.FormatInt(sentAt+1, 10)), want: sign.ErrNoMatch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, family := range []string{"webhook", "svix"} {
				h := headersFor(family, good, sentAt)
				if tc.change != nil {
					tc.change(h)
				}
				keys := tc.keys
				if keys == nil {
					keys = []sign.Key{key}
				}
				err := sign.Verifier{Keys: keys}.Verify(h, []byte(payload), time.Unix(sentAt, 0))
				if !errors.Is(err, tc.want) {
					t.Errorf("%s: %v, want %v", family, err, tc.want)
				}
			}
		})
	}
}

// set changes a header of whichever family h has; "" removes it.
func set(part, value string) func(http.Header) {
	return func(h http.Header) {
		if name := nameIn(h, part); value == "" {
			h.Del(name)
		} else {
			h.Set(name, value)
		}
	}
}

func add(part, value string) func(http.Header) {
	return func(h http.Header) { h.Add(nameIn(h, part), value) }
}

func nameIn(h http.Header, part string) string {
	if h.Get("svix-id") != "" {
		return "svix-" + part
	}
	return "webhook-" + part
}

func TestVerifyWindowIsSymmetric(t *testing.T) {
	key := sign.GenerateSymmetric()
	h := headersFor("webhook", string(newSigner(t, key).AppendSignatures(nil, messageID, sentAt, nil)), sentAt)
	for _, tc := range []struct {
		tolerance, age time.Duration
		want           error
	}{
		{0, 300 * time.Second, nil},
		{0, 301 * time.Second, sign.ErrTooOld},
		{0, -300 * time.Second, nil},
		{0, -301 * time.Second, sign.ErrTooNew},
		{0, -10 * 365 * 24 * time.Hour, sign.ErrTooNew},
		{time.Second, 2 * time.Second, sign.ErrTooOld},
		{time.Hour, 59 * time.Minute, nil},
	} {
		v := sign.Verifier{Keys: []sign.Key{key}, Tolerance: tc.tolerance}
		if err := v.Verify(h, nil, time.Unix(sentAt, 0).Add(tc.age)); !errors.Is(err, tc.want) {
			t.Errorf("age %v within %v: %v, want %v", tc.age, tc.tolerance, err, tc.want)
		}
	}
}

// FuzzVerify holds that no header panics and that none is accepted that does
// not contain the one right signature.
func FuzzVerify(f *testing.F) {
	key := parseKey(f, "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u")
	public := parseKey(f, "whpk_ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=")
	const symmetric = "v1,pMkUtqowHOC0gvN7j07qxEZOkHeWBskZI67ldr85oa8="
	const asymmetric = "v1a,4vK5KDmV7X6kNNem6lznxlzVtY1IHgHbxZp2YbdFDdWyFlhi2q//VJW+IvaPBLmGT9Ga9LUroWcrE4WhXr70AQ=="
	f.Add(messageID, "1674087231", symmetric, []byte(payload))
	f.Add(messageID, "1674087231", "v1,x "+asymmetric, []byte(payload))
	f.Add("", "-1", "v1, v1a,,", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, signatures string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signatures}}
		err := sign.Verifier{Keys: []sign.Key{key, public}}.Verify(h, body, time.Unix(sentAt, 0))
		if err == nil && !strings.Contains(signatures, symmetric) && !strings.Contains(signatures, asymmetric) {
			t.Fatalf("accepted %q %q %q %q", id, timestamp, signatures, body)
		}
	})
}
