package verify

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"
)

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestApply(t *testing.T) {
	long := strings.Repeat("a", maxInflated)
	for _, c := range []struct {
		name, function, text, want string
		refused                    bool
	}{
		{"compressed", "gunzip", gzipped(`{"a":1}`), `{"a":1}`, false},
		{"compressed twice in a row", "gunzip", gzipped("a") + gzipped("b"), "ab", false},
		{"not compressed", "gunzip", `{"a":1}`, `{"a":1}`, false},
		{"empty", "gunzip", "", "", false},
		{"cut off", "gunzip", gzipped(`{"a":1}`)[:20], "", true},
		{"only its beginning", "gunzip", "\x1f\x8b", "", true},
		{"more behind it", "gunzip", gzipped("a") + "b", "", true},
		{"as large as it may be", "gunzip", gzipped(long), long, false},
		{"a bomb", "gunzip", gzipped(long + "a"), "", true},

		{"one value", "json", ` {"a":[1]} `, ` {"a":[1]} `, false},
		{"no body", "json", "", "", false},
		{"more behind the value", "json", "{}{}", "", true},
		{"extended by the length", "json", "[1]" + padding(36+3) + ",[2]", "", true},

		{"order and white space", "canonical", "{\"b\": [1, {\"d\":null,\"c\":true}],\n\"a\":\"\\u00e9\\/<\"}", `{"a":"é/<","b":[1,{"c":true,"d":null}]}`, false},
		{"numbers", "canonical", `[1.0,1e5,-0,0.0000001,1e21,333333333.33333329,12345678901234567890]`, `[1,100000,0,1e-7,1e+21,333333333.3333333,12345678901234567000]`, false},
		{"a number beyond doubles", "canonical", `[1e999]`, "", true},
		{"a name twice", "canonical", `{"a":1,"a":2}`, "", true},
		{"white space around", "canonical", "{}\n", "", true},
		{"no JSON", "canonical", "a=1", "", true},

		{"whole weights", "weight", `{"weight": 16,"weight":7},{"weight":1 }`, `{"weight": 16.0,"weight":7.0},{"weight":1.0}`, false},
		{"other weights", "weight", `{"weight":16.5,"weights":3,"height":2}`, `{"weight":16.5,"weights":3,"height":2}`, false},

		{"beyond ASCII", "ascii", "{\"a\":\"\u00e9 \U0001f600 \x7f\"}", `{"a":"\u00e9 \ud83d\ude00 \u007f"}`, false},
		{"slashes", "ascii", `/a/b\/c\\/`, `\/a\/b\/c\\/`, false},
		{"behind a backslash", "ascii", `{"a":"\é"}`, `{"a":"\é"}`, false},
		{"no UTF-8", "ascii", "\xffa\xc3", "\xffa\xc3", false},
		{"ASCII", "ascii", `{"a":"\u00e9"}`, `{"a":"\u00e9"}`, false},

		{"check value of the standard", "crc32", "123456789", "3421780262", false},
		{"nothing", "crc32", "", "0", false},

		{"delimiters", "unescape", "/a%2Fb%3fc?d=%40%20%25", "/a/b?c?d=@%20%25", false},
	} {
		t.Run(c.function+" "+c.name, func(t *testing.T) {
			got, known, err := apply(c.function, []byte(c.text))
			if !known || (err != nil) != c.refused || string(got) != c.want {
				t.Errorf("%.60q, known %v, error %v, want %.60q, refused %v", got, known, err, c.want, c.refused)
			}
		})
	}
	if _, known, _ := apply("nothing", nil); known {
		t.Error("knows a function that it has not")
	}
}

// padding is what SHA-256 puts behind a text of that length, in bytes.
func padding(length int) string {
	text := "\x80" + strings.Repeat("\x00", (2*sha256.BlockSize-9-length%sha256.BlockSize)%sha256.BlockSize)
	return text + string(binary.BigEndian.AppendUint64(nil, uint64(length)*8))
}

// TestLongTextsAreNotRewritten: it would take seconds, for whoever sends one.
func TestLongTextsAreNotRewritten(t *testing.T) {
	fits := []byte(`"` + strings.Repeat("a", maxRewritten-2) + `"`)
	for _, function := range []string{"canonical", "weight", "ascii"} {
		if _, _, err := apply(function, fits); err != nil {
			t.Errorf("%s of 4 MiB: %v", function, err)
		}
		if _, _, err := apply(function, append(fits, ' ')); err == nil || err.Reason != ReasonBodyMalformed {
			t.Errorf("%s of more: %v", function, err)
		}
	}
	if _, err := nowPaymentsText(&input{req: Request{Body: append(fits, ' ')}}); err == nil || !strings.Contains(err.Detail, "4 MiB") {
		t.Error(err)
	}
}
