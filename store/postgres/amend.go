package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/postern-dev/postern/store"
)

// takenCode is postern_commit's for a dedupe record in whose place another node's
// is: it wrote nothing.
const takenCode = "PN002"

// errNotTaken is what a try ends with that was refused for records which are gone
// by now.
var errNotTaken = errors.New("the digests are free again")

// findTaken finds what refused the records of a batch.
const findTaken = `SELECT d.scope::text, replace(d.digest::text, '-', ''), encode(d.message, 'hex'), d.status::text, encode(d.answer, 'hex')
	FROM unnest($1, $2, $3, $4) AS x(scope, digest, message, since_ms) JOIN dedupe d ON d.scope = x.scope::"char" AND d.digest = x.digest
	WHERE d.message <> x.message AND d.at_ms >= x.since_ms ORDER BY d.digest, d.scope`

// amendable reports whether the database refused a batch that can be made right,
// and is itself fine.
func amendable(err error) bool {
	_, ok := errors.AsType[*store.Amend](err)
	return ok
}

// refusal is why the batch that was sent last was refused for its dedupe records: a
// *store.Amend.
func (s *Store) refusal(ctx context.Context) error {
	a := s.writer.args
	d := &a.dedupe
	result := s.writer.conn.PgConn().ExecParams(ctx, findTaken, [][]byte{d.scope.value(), d.digest.value(), d.message.value(), d.since.value()},
		[]uint32{typeTexts, typeUUIDs, typeByteas, typeInt8s}, a.formats, []int16{0}).Read()
	if result.Err != nil {
		return result.Err
	}
	if len(result.Rows) == 0 {
		return errNotTaken
	}
	why := &store.Amend{}
	for _, row := range result.Rows {
		r, err := takenRecord(row)
		if err != nil {
			return err
		}
		why.Taken = append(why.Taken, r)
	}
	return why
}

// takenRecord reads a row of findTaken, which is text.
func takenRecord(row [][]byte) (r store.DedupeRecord, err error) {
	r.Scope = store.Scope(row[0][0])
	digest, err := hex.DecodeString(string(row[1]))
	if err != nil {
		return r, err
	}
	copy(r.Digest[:], digest)
	message, err := hex.DecodeString(string(row[2]))
	if err != nil {
		return r, err
	}
	copy(r.Message[:], message)
	if r.Status, err = strconv.Atoi(string(row[3])); err != nil || row[4] == nil {
		return r, err
	}
	r.Answer, err = hex.DecodeString(string(row[4]))
	return r, err
}
