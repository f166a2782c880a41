package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/sign"
)

func TestReceive(t *testing.T) {
	key, other := sign.GenerateSymmetric(), sign.GenerateSymmetric()
	const body = `{"type":"link.clicked","code":"abc"}`
	var out bytes.Buffer
	handler, err := receive(key.Reveal(), &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		signedWith sign.Key
		want       int
		printed    string
	}{
		{key, http.StatusNoContent, "msg_1 link.clicked " + body + "\n"},
		{other, http.StatusUnauthorized, ""},
	} {
		out.Reset()
		now := time.Now().Unix()
		signer, err := sign.NewSigner(c.signedWith)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Webhook-Id", "msg_1")
		r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now, 10))
		r.Header.Set("Webhook-Signature", string(signer.AppendSignatures(nil, "msg_1", now, []byte(body))))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.want || out.String() != c.printed {
			t.Errorf("status %d, printed %q; want %d, %q", w.Code, out.String(), c.want, c.printed)
		}
	}
}
