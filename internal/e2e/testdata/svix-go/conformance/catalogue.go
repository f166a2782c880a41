package main

import (
	svix "github.com/svix/svix-webhooks/go"
	"github.com/svix/svix-webhooks/go/models"
	"github.com/svix/svix-webhooks/go/utils"
)

// tooMany is more than a page may hold.
const tooMany = uint64(251)

func (d *driver) applications() {
	api := d.Application
	in := models.ApplicationIn{Name: "Go", Uid: to("go-app"), ThrottleRate: to(uint16(100)), Metadata: &map[string]string{"of": "go"}}
	app := got(api.Create(d.ctx, in, nil))
	want(app.Uid != nil && *app.Uid == "go-app" && app.Metadata["of"] == "go" && *app.ThrottleRate == 100, "created %+v", app)
	d.app = app.Id
	refused(failed(api.Create(d.ctx, in, nil)), 409, "conflict")
	refused(failed(api.Create(d.ctx, models.ApplicationIn{Name: "Go", Uid: to("not a uid")}, nil)), 422, "body uid")
	want(got(api.GetOrCreate(d.ctx, in, nil)).Id == app.Id, "not the same again")

	want(got(api.Get(d.ctx, "go-app")).Id == app.Id, "not found by its uid")
	refused(failed(api.Get(d.ctx, nobody)), 404, "not_found")
	page := got(api.List(d.ctx, &svix.ApplicationListOptions{Limit: to(uint64(1)), Order: to(models.ORDERING_DESCENDING)}))
	want(len(page.Data) == 1 && page.Iterator != nil, "a page of %+v", page)
	refused(failed(api.List(d.ctx, &svix.ApplicationListOptions{Limit: to(tooMany)})), 422, "query limit")
	refused(failed(d.with("wrong").Application.List(d.ctx, nil)), 401, "authentication_failed")

	put := got(api.Update(d.ctx, app.Id, models.ApplicationIn{Name: "Go again", Uid: to("go-app")}))
	want(put.Id == app.Id && put.ThrottleRate == nil && len(put.Metadata) == 0, "replaced %+v", put)
	want(got(api.Update(d.ctx, "go-upserted", models.ApplicationIn{Name: "Go", Uid: to("go-upserted")})).Id != app.Id, "nothing made")
	refused(failed(api.Update(d.ctx, app.Id, models.ApplicationIn{})), 422, "body name")
	patched := got(api.Patch(d.ctx, app.Id, models.ApplicationPatch{Name: to("Go"), Uid: utils.NewNullableFromPtr[string](nil)}))
	want(patched.Uid == nil && patched.Name == "Go", "changed %+v", patched)
	refused(failed(api.Patch(d.ctx, app.Id, models.ApplicationPatch{Uid: utils.NewNullable("go-upserted")})), 409, "conflict")
	done(api.Delete(d.ctx, "go-upserted"))
	refused(api.Delete(d.ctx, "go-upserted"), 404, "not_found")
}

func (d *driver) eventTypes() {
	api := d.EventType
	schemas := map[string]any{"1": map[string]any{"type": "object", "examples": []any{map[string]any{"paid": true}}}}
	in := models.EventTypeIn{Name: "go.paid", Description: "Paid.", GroupName: to("go"), Schemas: &schemas}
	want(got(api.Create(d.ctx, in, nil)).Schemas != nil, "no schema")
	refused(failed(api.Create(d.ctx, in, nil)), 409, "event_type_exists")
	got(api.Create(d.ctx, models.EventTypeIn{Name: "go.bare", Description: "Without a schema."}, nil))

	want(*got(api.Get(d.ctx, "go.paid")).GroupName == "go", "another group")
	refused(failed(api.Get(d.ctx, "go.nothing")), 404, "not_found")
	page := got(api.List(d.ctx, &svix.EventTypeListOptions{Limit: to(uint64(1)), IncludeArchived: to(true), WithContent: to(true)}))
	want(len(page.Data) == 1, "a page of %+v", page)
	refused(failed(api.List(d.ctx, &svix.EventTypeListOptions{Limit: to(tooMany)})), 422, "query limit")

	put := got(api.Update(d.ctx, "go.paid", models.EventTypeUpdate{Description: "Paid up.", Schemas: &schemas}))
	want(put.Description == "Paid up." && put.GroupName == nil, "replaced %+v", put)
	got(api.Update(d.ctx, "go.upserted", models.EventTypeUpdate{Description: "Made by a PUT."}))
	refused(failed(api.Update(d.ctx, "go.paid", models.EventTypeUpdate{Schemas: &schemas})), 422, "body description")
	want(got(api.Patch(d.ctx, "go.paid", models.EventTypePatch{Deprecated: to(true)})).Deprecated, "not changed")
	refused(failed(api.Patch(d.ctx, "go.nothing", models.EventTypePatch{Deprecated: to(true)})), 404, "not_found")
	done(api.Delete(d.ctx, "go.upserted", nil))
	want(*got(api.Get(d.ctx, "go.upserted")).Archived, "not archived")
	done(api.Delete(d.ctx, "go.upserted", &svix.EventTypeDeleteOptions{Expunge: to(true)}))
	refused(api.Delete(d.ctx, "go.upserted", nil), 404, "not_found")
}

func (d *driver) endpoints() {
	api := d.Endpoint
	in := models.EndpointIn{Url: d.receiver + "/ok", Uid: to("go-ok"), FilterTypes: []string{"go.paid", "go.bare"}, Description: to("Answers 200.")}
	endpoint := got(api.Create(d.ctx, d.app, in, nil))
	want(*endpoint.Uid == "go-ok" && len(endpoint.FilterTypes) == 2 && endpoint.Channels == nil && endpoint.Version > 0, "created %+v", endpoint)
	d.ok = endpoint.Id
	d.fail = got(api.Create(d.ctx, d.app, models.EndpointIn{Url: d.receiver + "/fail"}, nil)).Id
	refused(failed(api.Create(d.ctx, d.app, in, nil)), 409, "conflict")
	refused(failed(api.Create(d.ctx, d.app, models.EndpointIn{Url: d.receiver, FilterTypes: []string{"go.nothing"}}, nil)), 422, "body eventTypes")

	want(got(api.Get(d.ctx, d.app, "go-ok")).Id == d.ok, "not found by its uid")
	refused(failed(api.Get(d.ctx, d.app, nobody)), 404, "not_found")
	page := got(api.List(d.ctx, d.app, &svix.EndpointListOptions{Order: to(models.ORDERING_ASCENDING)}))
	want(len(page.Data) == 2 && page.Data[0].Id == d.ok && page.Done, "a page of %+v", page)
	refused(failed(api.List(d.ctx, d.app, &svix.EndpointListOptions{Limit: to(tooMany)})), 422, "query limit")

	put := got(api.Update(d.ctx, d.app, d.ok, models.EndpointUpdate{Url: d.receiver + "/ok", Uid: to("go-ok"), Channels: []string{"go"}}))
	want(put.FilterTypes == nil && len(put.Channels) == 1 && put.Description == "", "replaced %+v", put)
	got(api.Update(d.ctx, d.app, "go-upserted", models.EndpointUpdate{Url: d.receiver + "/ok", Uid: to("go-upserted")}))
	refused(failed(api.Update(d.ctx, d.app, d.ok, models.EndpointUpdate{Url: "not a url"})), 422, "body url")
	patched := got(api.Patch(d.ctx, d.app, d.ok, models.EndpointPatch{Channels: utils.NewNullableFromPtr[[]string](nil), ThrottleRate: utils.NewNullable(uint16(1000))}))
	want(patched.Channels == nil && *patched.ThrottleRate == 1000, "changed %+v", patched)
	refused(failed(api.Patch(d.ctx, d.app, nobody, models.EndpointPatch{Disabled: to(true)})), 404, "not_found")
	done(api.Delete(d.ctx, d.app, "go-upserted"))
	refused(api.Delete(d.ctx, d.app, "go-upserted"), 404, "not_found")
}

// settings are an endpoint's headers and secret.
func (d *driver) settings() {
	api := d.Endpoint
	done(api.UpdateHeaders(d.ctx, d.app, d.ok, models.EndpointHeadersIn{Headers: map[string]string{"X-Of": "go", "Authorization": "Bearer go"}}))
	refused(api.UpdateHeaders(d.ctx, d.app, d.ok, models.EndpointHeadersIn{Headers: map[string]string{"user-agent": "go"}}), 422, "body headers user-agent")
	done(api.PatchHeaders(d.ctx, d.app, d.ok, models.EndpointHeadersPatchIn{Headers: map[string]string{"X-More": "go"}, DeleteHeaders: []string{"X-Of"}}))
	refused(api.PatchHeaders(d.ctx, d.app, nobody, models.EndpointHeadersPatchIn{Headers: map[string]string{"X-More": "go"}}), 404, "not_found")
	headers := got(api.GetHeaders(d.ctx, d.app, d.ok))
	want(len(headers.Headers) == 1 && headers.Headers["X-More"] == "go" && len(headers.Sensitive) == 1, "headers %+v", headers)
	refused(failed(api.GetHeaders(d.ctx, d.app, nobody)), 404, "not_found")

	before := got(api.GetSecret(d.ctx, d.app, d.ok)).Key
	refused(failed(api.GetSecret(d.ctx, d.app, nobody)), 404, "not_found")
	done(api.RotateSecret(d.ctx, d.app, d.ok, models.EndpointSecretRotateIn{}, nil))
	want(got(api.GetSecret(d.ctx, d.app, d.ok)).Key != before, "the secret stayed")
	refused(api.RotateSecret(d.ctx, d.app, d.ok, models.EndpointSecretRotateIn{GracePeriodSeconds: to(uint32(604_801))}, nil), 422, "body gracePeriodSeconds")
}
