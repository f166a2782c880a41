package embedded

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/postern-dev/postern"
)

// decoder reads an encoded value from its front. After the first fault err is
// set and everything reads as zero, so that callers look once, at the end.
// What it returns is copied out of the value, which belongs to the database.
type decoder struct {
	rest []byte
	err  error
}

// newDecoder takes the version byte off a value.
func newDecoder(value []byte) *decoder {
	d := &decoder{rest: value}
	if v := d.byte(); d.err == nil && v != encodingVersion {
		d.fail(fmt.Errorf("%w: encoding version %d", errCorrupt, v))
	}
	return d
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = nil
}

// take returns the next n bytes, still the value's own memory; nil if there
// are not as many.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.fail(errCorrupt)
		return nil
	}
	p := d.rest[:n]
	d.rest = d.rest[n:]
	return p
}

// more reports whether a value goes on: one that was stored before its last
// fields were thought of does not, and they read as zero.
func (d *decoder) more() bool { return len(d.rest) > 0 }

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail(errCorrupt)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail(errCorrupt)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count is a list's length; every entry takes at least a byte, which bounds it
// by what is there.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail(errCorrupt)
		return 0
	}
	return int(n)
}

func (d *decoder) string() string { return string(d.take(d.count())) }

// bytes is nil for none.
func (d *decoder) bytes() []byte {
	p := d.take(d.count())
	if len(p) == 0 {
		return nil
	}
	return append([]byte(nil), p...)
}

func (d *decoder) strings() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.string()
	}
	return list
}

func (d *decoder) time() time.Time {
	micros := d.varint()
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func (d *decoder) duration() time.Duration { return time.Duration(d.varint()) }

func (d *decoder) request(r *postern.InboundRequest) {
	r.Method = d.string()
	r.Path = d.string()
	r.Query = d.string()
	if n := d.count(); n > 0 {
		r.Headers = make([]postern.Header, n)
		for i := range r.Headers {
			r.Headers[i] = postern.Header{Name: d.string(), Value: d.string()}
		}
	}
	r.RemoteAddr = d.string()
	r.URL = d.string()
}

// decodeID reads what appendID writes.
func decodeID[T ~[20]byte](d *decoder) T {
	var id T
	if d.byte() == 1 {
		copy(id[:], d.take(len(id)))
	}
	return id
}
