package verify

// codeChecker finds the scheme that data cannot express by its name in a
// definition; false if there is none. s is complete but for what New adds
// later: its keys are asked for with each request.
func codeChecker(name string, s *scheme) (checker, bool) {
	switch name {
	case "apple":
		return appleChecker{s}, true
	case "atlassian_connect":
		return atlassianChecker{jwtChecker{s}}, true
	case "aws_sns":
		return newSNSChecker(s), true
	case "braintree":
		return braintreeChecker{s}, true
	case "contentful":
		return signatureChecker{s, contentfulText}, true
	case "ebay":
		return ebayChecker{s}, true
	case "hook0_v1":
		return signatureChecker{s, hook0Text}, true
	case "hygraph":
		return signatureChecker{s, hygraphText}, true
	case "moralis":
		return moralisChecker{s}, true
	case "nowpayments":
		return signatureChecker{s, nowPaymentsText}, true
	case "plivo_v2":
		return signatureChecker{s, plivoV2Text}, true
	case "plivo_v3":
		return signatureChecker{s, plivoV3Text}, true
	case "wix":
		return wixChecker{jwtChecker{s}}, true
	}
	return nil, false
}

// header is a header that is signed and must be there, once. The name is in
// canonical form.
func (in *input) header(name string) (string, *Error) {
	return in.required(selector{form: "header", name: name}, ReasonHeaderMissing)
}
