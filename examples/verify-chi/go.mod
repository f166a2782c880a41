module github.com/postern-dev/postern/examples/verify-chi

go 1.26.0

require (
	github.com/go-chi/chi/v5 v5.5.0
	github.com/postern-dev/postern v0.0.0
)

require golang.org/x/text v0.43.0 // indirect

replace github.com/postern-dev/postern => ../..
