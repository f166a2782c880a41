package verify

// hygraphText is what Hygraph signs: a JSON object that has the body in it as a
// string, written as JSON.stringify writes one.
func hygraphText(in *input) ([][]byte, *Error) {
	environment, present, err := in.element("env")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, &Error{ReasonSignatureMalformed, "env= is missing beside the signature"}
	}
	text := appendJSString([]byte(`{"Body":`), in.req.Body)
	text = appendJSString(append(text, `,"EnvironmentName":`...), environment)
	text = append(text, `,"TimeStamp":`...)
	return [][]byte{append(append(text, in.timestamp...), '}')}, nil
}
