package deliver_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/deliver"
)

// hmacSigner signs as Standard Webhooks does, with the state reused as the engine's
// signer reuses it.
type hmacSigner struct {
	mac hash.Hash
	sum [sha256.Size]byte
	buf []byte
}

func (s *hmacSigner) AppendSignatures(dst []byte, id string, timestamp int64, body []byte) []byte {
	s.mac.Reset()
	s.buf = append(append(s.buf[:0], id...), '.')
	s.buf = append(strconv.AppendInt(s.buf, timestamp, 10), '.')
	s.mac.Write(s.buf)
	s.mac.Write(body)
	return base64.StdEncoding.AppendEncode(append(dst, "v1,"...), s.mac.Sum(s.sum[:0]))
}

// BenchmarkPost measures one exchange on a kept connection, the receiver's share
// included, which reads the request with as little work as can be.
func BenchmarkPost(b *testing.B) {
	for name, ctx := range map[string]func() (context.Context, context.CancelFunc){
		"plain":   func() (context.Context, context.CancelFunc) { return context.WithoutCancel(b.Context()), func() {} },
		"watched": func() (context.Context, context.CancelFunc) { return context.WithCancel(b.Context()) },
	} {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := ctx()
			defer cancel()
			client := newClient(b, deliver.Config{})
			to := target(b, "http://"+sink(b)+"/hook")
			body := make([]byte, 1024)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				req := deliver.Request{
					Target: to, ID: "msg_2ZyN1pQx8kKq3m7v9w0a1b2c3d4", Timestamp: 1_760_000_000,
					Signer: &hmacSigner{mac: hmac.New(sha256.New, []byte("key"))}, ContentType: "application/json", Body: body,
				}
				for pb.Next() {
					var res deliver.Result
					req.Deadline = time.Now().Add(15 * time.Second)
					client.Post(ctx, &req, &res)
					if res.Status != 200 {
						b.Fatal(res.Cause, res.Err)
					}
				}
			})
		})
	}
}

// sink answers every write of a request that fits one read. It returns its address.
func sink(tb testing.TB) string {
	return serve(tb, func(v *visit) {
		const answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n" +
			"Date: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 2\r\n\r\nok"
		buf, out := make([]byte, 16<<10), []byte(answer)
		for {
			if _, err := v.Conn.Read(buf); err != nil {
				return
			}
			if _, err := v.Write(out); err != nil {
				return
			}
		}
	}).addr
}
