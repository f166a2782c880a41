package sign_test

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-dev/postern/sign"
)

// A sender signs with the current key and with the one it replaces; a receiver
// that knows only one of them accepts.
func Example() {
	current, old := sign.GenerateSymmetric(), sign.GenerateSymmetric()
	signer, err := sign.NewSigner(current, old)
	if err != nil {
		fmt.Println(err)
		return
	}
	body, now := []byte(`{"type":"invoice.paid"}`), time.Now()
	header := http.Header{}
	header.Set("webhook-id", "msg_1")
	header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	header.Set("webhook-signature", string(signer.AppendSignatures(nil, "msg_1", now.Unix(), body)))

	receiver := sign.Verifier{Keys: []sign.Key{old}}
	fmt.Println(receiver.Verify(header, body, now))
	fmt.Println(receiver.Verify(header, []byte(`{}`), now))
	fmt.Println(old)
	// Output:
	// <nil>
	// sign: no signature matches
	// whsec_***
}

// An endpoint with an Ed25519 key gives only the public half to its receivers.
func ExampleKey_Public() {
	private, err := sign.ParseKey("whsk_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
	if err != nil {
		fmt.Println(err)
		return
	}
	public, _ := private.Public()
	fmt.Println(private, public.Reveal())
	// Output: whsk_*** whpk_ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=
}

// Rotating keeps the key before for a day, so that receivers can change over.
func ExampleSecrets_Rotate() {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	secrets, err := sign.Secrets{Current: sign.GenerateSymmetric()}.
		Rotate(sign.GenerateSymmetric(), now, sign.DefaultGrace)
	fmt.Println(err, len(secrets.Live(now)), len(secrets.Live(now.Add(25*time.Hour))))
	// Output: <nil> 2 1
}
