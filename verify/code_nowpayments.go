package verify

// nowPaymentsText is what NOWPayments signs: the body written again with the
// members of its objects in order. This is the one scheme where the raw bytes
// will not do; numbers keep their text all the same, and a name that stands twice
// is refused, since only one of its values would be signed.
func nowPaymentsText(in *input) ([][]byte, *Error) {
	if len(in.req.Body) > maxRewritten {
		return nil, errTooLongToRewrite()
	}
	sorted, err := sortedJSON(in.req.Body, asWritten)
	if err != nil {
		return nil, &Error{ReasonBodyMalformed, "the body is not JSON that can be sorted: it " + err.Error()}
	}
	return [][]byte{sorted}, nil
}
