package auth

import (
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-dev/postern"
)

const (
	// issuer stands in every token of svix-server.
	issuer = "svix-server"
	// leeway is how far the clock of whoever made a token may be off.
	leeway = 30 * time.Second

	organizationPrefix = "org_"
	applicationPrefix  = "app_"
)

// jwts tells principals by the tokens of svix-server: HS256, "iss" svix-server
// and an end. "sub" is an organization, which is an administrator here, or an
// application, which is a visitor of its portal. They cannot be revoked but by
// changing the secret.
type jwts struct {
	secret []byte
	parser *jwt.Parser
	apps   Applications
}

func newJWTs(secret string, apps Applications, now func() time.Time) *jwts {
	return &jwts{
		secret: []byte(secret), apps: apps,
		// The algorithm is ours to say: "none", and a public key taken for a
		// secret, are how tokens are forged.
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(issuer),
			jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(now)),
	}
}

// claims are those that svix-server writes.
type claims struct {
	jwt.RegisteredClaims
	// FeatureFlags are a portal token's.
	FeatureFlags []string `json:"feature_flags"`
}

// authenticate says no more than Authenticate does of why it refuses.
func (j *jwts) authenticate(token string) (Principal, error) {
	var c claims
	if _, err := j.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return j.secret, nil }); err != nil {
		return Principal{}, unauthorized()
	}
	if strings.HasPrefix(c.Subject, organizationPrefix) {
		return Principal{Scope: postern.ScopeAdmin}, nil
	}
	if !strings.HasPrefix(c.Subject, applicationPrefix) || j.apps == nil {
		return Principal{}, unauthorized()
	}
	app, err := j.application(c.Subject)
	if err != nil {
		return Principal{}, unauthorized()
	}
	return Principal{
		Scope: postern.ScopePortal, Application: app.Number,
		Portal: &postern.Portal{FeatureFlags: c.FeatureFlags},
	}, nil
}

// application finds the subject by id, or by uid: an application that came over
// from svix-server has an id of ours, and its old one as uid without the
// prefix, which no uid may begin with.
func (j *jwts) application(subject string) (*postern.Application, error) {
	app, err := j.apps.Application(subject)
	if err == nil {
		return app, nil
	}
	return j.apps.Application(strings.TrimPrefix(subject, applicationPrefix))
}
