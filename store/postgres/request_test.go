package postgres

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern"
)

func FuzzRequest(f *testing.F) {
	f.Add("POST", "/in/x", "a=\xff", "X-Signature", "v\x00", "192.0.2.1:9")
	f.Add("", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, method, path, query, name, value, addr string) {
		want := &postern.InboundRequest{
			Method: method, Path: path, Query: query, RemoteAddr: addr, URL: path + query,
			Headers: []postern.Header{{Name: name, Value: value}, {Name: name}},
		}
		column, err := encodeRequest(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRequest(column)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestRequestOfNone(t *testing.T) {
	column, err := encodeRequest(nil)
	if column != nil || err != nil {
		t.Fatalf("no request is stored as %q, %v", column, err)
	}
	if r, err := decodeRequest(nil); r != nil || err != nil {
		t.Errorf("no request is read as %v, %v", r, err)
	}
	if _, err := decodeRequest([]byte("{")); err == nil {
		t.Error("a broken column is read")
	}
}
