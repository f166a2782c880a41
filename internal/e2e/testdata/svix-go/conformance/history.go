package main

import (
	"time"

	svix "github.com/svix/svix-webhooks/go"
	"github.com/svix/svix-webhooks/go/models"
)

func (d *driver) messages() {
	api := d.Message
	in := models.MessageIn{
		EventType: "go.paid", EventId: to("go-event"), Channels: []string{"go"}, Tags: []string{"go"}, Payload: map[string]any{"amount": 1.5},
	}
	message := got(api.Create(d.ctx, d.app, in, nil))
	want(*message.EventId == "go-event" && message.Payload["amount"] == 1.5, "accepted %+v", message)
	d.message = message.Id
	refused(failed(api.Create(d.ctx, d.app, in, nil)), 409, "conflict")
	refused(failed(api.Create(d.ctx, d.app, models.MessageIn{EventType: "not a type", Payload: map[string]any{}}, nil)), 422, "body eventType")
	raw := got(api.Create(d.ctx, d.app, *svix.NewMessageInRaw("go.bare", "<go/>", to("text/xml")), nil))

	want(got(api.Precheck(d.ctx, d.app, models.MessagePrecheckIn{EventType: "go.paid"}, nil)).Active, "nobody listens")
	refused(failed(api.Precheck(d.ctx, d.app, models.MessagePrecheckIn{EventType: "not a type"}, nil)), 422, "body eventType")
	want(got(api.Get(d.ctx, d.app, "go-event", nil)).Id == d.message, "not found by its event id")
	want(got(api.Get(d.ctx, d.app, raw.Id, nil)).EventType == "go.bare", "another message")
	refused(failed(api.Get(d.ctx, d.app, nobody, nil)), 404, "not_found")
	page := got(api.List(d.ctx, d.app, &svix.MessageListOptions{EventTypes: &[]string{"go.paid", "go.nothing"}, Tag: to("go"), WithContent: to(false)}))
	want(len(page.Data) == 1 && page.Data[0].Id == d.message && len(page.Data[0].Payload) == 0, "a page of %+v", page)
	refused(failed(api.List(d.ctx, d.app, &svix.MessageListOptions{Limit: to(tooMany)})), 422, "query limit")
}

func (d *driver) attempts() {
	api := d.MessageAttempt
	await("an attempt at each endpoint", func() bool {
		return len(got(api.ListByMsg(d.ctx, d.app, d.message, nil)).Data) == 2
	})
	page := got(api.ListByEndpoint(d.ctx, d.app, d.ok, &svix.MessageAttemptListByEndpointOptions{
		Status: to(models.MESSAGESTATUS_SUCCESS), StatusCodeClass: to(models.STATUSCODECLASS_CODE2XX), EventTypes: &[]string{"go.paid"},
	}))
	want(len(page.Data) == 1 && page.Data[0].MsgId == d.message && page.Data[0].ResponseStatusCode == 200, "a page of %+v", page)
	d.attempt = page.Data[0].Id
	refused(failed(api.ListByEndpoint(d.ctx, d.app, nobody, nil)), 404, "not_found")
	refused(failed(api.ListByMsg(d.ctx, d.app, d.message, &svix.MessageAttemptListByMsgOptions{Limit: to(tooMany)})), 422, "query limit")
	want(got(api.Get(d.ctx, d.app, d.message, d.attempt, nil)).StatusText == models.MESSAGESTATUSTEXT_SUCCESS, "another status")
	refused(failed(api.Get(d.ctx, d.app, d.message, nobody, nil)), 404, "not_found")

	attempted := got(api.ListAttemptedMessages(d.ctx, d.app, d.fail, &svix.MessageAttemptListAttemptedMessagesOptions{Tag: to("go")}))
	want(len(attempted.Data) == 1 && attempted.Data[0].NextAttempt != nil && attempted.Data[0].Status == models.MESSAGESTATUS_SENDING, "attempted %+v", attempted)
	refused(failed(api.ListAttemptedMessages(d.ctx, d.app, nobody, nil)), 404, "not_found")
	destinations := got(api.ListAttemptedDestinations(d.ctx, d.app, d.message, nil))
	want(len(destinations.Data) == 2, "destinations %+v", destinations)
	refused(failed(api.ListAttemptedDestinations(d.ctx, d.app, nobody, nil)), 404, "not_found")
	got(api.Resend(d.ctx, d.app, d.message, d.ok, nil))
	refused(failed(api.Resend(d.ctx, d.app, d.message, nobody, nil)), 404, "not_found")

	stats := got(d.Endpoint.GetStats(d.ctx, d.app, d.ok, &svix.EndpointGetStatsOptions{Since: to(time.Now().Add(-time.Hour))}))
	want(stats.Success >= 1 && stats.Fail == 0, "counted %+v", stats)
	refused(failed(d.Endpoint.GetStats(d.ctx, d.app, d.ok, &svix.EndpointGetStatsOptions{Since: to(time.Now().AddDate(0, 0, -30))})), 400, "invalid_range")
}

func (d *driver) examples() {
	api := d.Endpoint
	want(got(api.SendExample(d.ctx, d.app, d.ok, models.EventExampleIn{EventType: "go.paid"}, nil)).Payload["paid"] == true, "another example")
	got(api.SendExample(d.ctx, d.app, d.ok, models.EventExampleIn{EventType: "svix.ping"}, nil))
	refused(failed(api.SendExample(d.ctx, d.app, d.ok, models.EventExampleIn{EventType: "go.nothing"}, nil)), 404, "not_found")
	refused(failed(api.SendExample(d.ctx, d.app, d.ok, models.EventExampleIn{EventType: "go.bare"}, nil)), 400, "invalid_scheme")
}

// tasks are what goes on after the answer.
func (d *driver) tasks() {
	api, since, long := d.Endpoint, time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, -15)
	recovered := got(api.Recover(d.ctx, d.app, d.fail, models.RecoverIn{Since: since}, nil))
	want(recovered.Task == models.BACKGROUNDTASKTYPE_ENDPOINT_RECOVER, "began %+v", recovered)
	refused(failed(api.Recover(d.ctx, d.app, d.fail, models.RecoverIn{Since: long}, nil)), 422, "body since")
	missing := got(api.ReplayMissing(d.ctx, d.app, d.ok, models.ReplayIn{Since: since}, nil))
	want(missing.Task == models.BACKGROUNDTASKTYPE_ENDPOINT_REPLAY, "began %+v", missing)
	refused(failed(api.ReplayMissing(d.ctx, d.app, nobody, models.ReplayIn{Since: since}, nil)), 404, "not_found")
	bulk := got(api.BulkReplay(d.ctx, d.app, d.ok, models.BulkReplayIn{Since: since, EventTypes: []string{"go.paid"}, Tag: to("go")}, nil))
	want(bulk.Task == models.BACKGROUNDTASKTYPE_ENDPOINT_BULK_REPLAY, "began %+v", bulk)
	refused(failed(api.BulkReplay(d.ctx, d.app, nobody, models.BulkReplayIn{Since: since}, nil)), 404, "not_found")

	for _, id := range []string{recovered.Id, missing.Id, bulk.Id} {
		await("the end of "+id, func() bool {
			return got(d.BackgroundTask.Get(d.ctx, id)).Status == models.BACKGROUNDTASKSTATUS_FINISHED
		})
	}
	refused(failed(d.BackgroundTask.Get(d.ctx, nobody)), 404, "not_found")
	page := got(d.BackgroundTask.List(d.ctx, &svix.BackgroundTaskListOptions{
		Task: to(models.BACKGROUNDTASKTYPE_ENDPOINT_BULK_REPLAY), Status: to(models.BACKGROUNDTASKSTATUS_FINISHED),
	}))
	want(len(page.Data) > 0, "no task in %+v", page)
	refused(failed(d.BackgroundTask.List(d.ctx, &svix.BackgroundTaskListOptions{Limit: to(tooMany)})), 422, "query limit")
}

// visitors are the portal's.
func (d *driver) visitors() {
	api := d.Authentication
	visit := got(api.AppPortalAccess(d.ctx, d.app, models.AppPortalAccessIn{SessionId: to("go-session"), FeatureFlags: []string{"go"}}, nil))
	visitor := d.with(visit.Token)
	got(visitor.Endpoint.List(d.ctx, d.app, nil))
	refused(failed(visitor.Application.List(d.ctx, nil)), 403, "insufficient access")
	refused(failed(api.AppPortalAccess(d.ctx, d.app, models.AppPortalAccessIn{Expiry: to(uint64(1))}, nil)), 422, "body expiry")
	done(visitor.Authentication.Logout(d.ctx, nil))
	refused(failed(visitor.Endpoint.List(d.ctx, d.app, nil)), 401, "authentication_failed")
	refused(api.Logout(d.ctx, nil), 403, "insufficient access")

	visitor = d.with(got(api.DashboardAccess(d.ctx, d.app, nil)).Token)
	got(visitor.Application.Get(d.ctx, d.app))
	refused(failed(api.DashboardAccess(d.ctx, nobody, nil)), 404, "not_found")
	done(api.ExpireAll(d.ctx, d.app, models.ApplicationTokenExpireIn{Expiry: to(int64(0))}, nil))
	refused(failed(visitor.Application.Get(d.ctx, d.app)), 401, "authentication_failed")
	refused(api.ExpireAll(d.ctx, nobody, models.ApplicationTokenExpireIn{}, nil), 404, "not_found")
	done(d.Health.Get(d.ctx))
}

// contents are taken out of the history.
func (d *driver) contents() {
	done(d.MessageAttempt.ExpungeContent(d.ctx, d.app, d.message, d.attempt))
	want(got(d.MessageAttempt.Get(d.ctx, d.app, d.message, d.attempt, nil)).Response == "EXPUNGED", "the response stayed")
	refused(d.MessageAttempt.ExpungeContent(d.ctx, d.app, d.message, nobody), 404, "not_found")
	done(d.Message.ExpungeContent(d.ctx, d.app, d.message))
	want(got(d.Message.Get(d.ctx, d.app, d.message, nil)).Payload["expired"] == true, "the payload stayed")
	refused(d.Message.ExpungeContent(d.ctx, d.app, nobody), 404, "not_found")
	refused(failed(d.MessageAttempt.Resend(d.ctx, d.app, d.message, d.ok, nil)), 400, "missing_payload")
	all := got(d.Message.ExpungeAllContents(d.ctx, d.app, nil))
	want(all.Task == models.BACKGROUNDTASKTYPE_APPLICATION_PURGE_CONTENT, "began %+v", all)
	await("the end of "+all.Id, func() bool {
		return got(d.BackgroundTask.Get(d.ctx, all.Id)).Status == models.BACKGROUNDTASKSTATUS_FINISHED
	})
	refused(failed(d.Message.ExpungeAllContents(d.ctx, nobody, nil)), 404, "not_found")
}

// ends: what belongs to an application goes with it.
func (d *driver) ends() {
	done(d.Application.Delete(d.ctx, d.app))
	refused(failed(d.Message.Get(d.ctx, d.app, d.message, nil)), 404, "not_found")
}
