package api

// table is the API. A new operation is a new row, and nothing else has to know
// of it: the columns are its name in metrics, method and path, what it touches
// and so who may use it, the status of its success, and the function. In and
// out are the bodies' types. What a row reads of the query it names with asks.
func table() []row { //nolint:funlen // it is a table
	return []row{
		op[none, healthOut]{"health", "GET", "/health", open, 200, (*handler).getHealth},
		op[none, none]{"health.ping", "GET", "/health/ping", open, 204, (*handler).ping},
		bodies[none, map[string]any](raw{"openapi", "GET", "/openapi.json", open, 200, (*handler).getOpenAPI}),
		media("text/event-stream", raw{"tail", "GET", "/tail", watching, 200, (*handler).getTail}.asks(tailFilters())),
		op[none, listing[limitOut]]{"limits", "GET", "/limits", shared, 200, (*handler).getLimits},

		op[none, listing[applicationOut]]{"application.list", "GET", "/app", global, 200, (*handler).listApplications}.asks(paging()),
		also(200, op[applicationIn, applicationOut]{"application.create", "POST", "/app", global, 201, (*handler).createApplication}.asks(params{withFlag("get_if_exists", "Answer 200 and the application that has the uid already, instead of a conflict.", false)})),
		op[none, applicationOut]{"application.get", "GET", "/app/{app}", inside, 200, (*handler).getApplication},
		also(201, op[applicationIn, applicationOut]{"application.put", "PUT", "/app/{app}", global, 200, (*handler).putApplication}),
		op[applicationIn, applicationOut]{"application.patch", "PATCH", "/app/{app}", global, 200, (*handler).patchApplication},
		op[none, none]{"application.delete", "DELETE", "/app/{app}", global, 204, (*handler).deleteApplication},

		op[none, listing[eventTypeOut]]{"event-type.list", "GET", "/event-type", shared, 200, (*handler).listEventTypes}.asks(paging(), params{withContents(false), withFlag("include_archived", "Whether archived types are listed too.", false)}),
		op[eventTypeIn, eventTypeOut]{"event-type.create", "POST", "/event-type", shared, 201, (*handler).createEventType},
		op[none, eventTypeOut]{"event-type.get", "GET", "/event-type/{name}", shared, 200, (*handler).getEventType},
		also(201, op[eventTypeIn, eventTypeOut]{"event-type.put", "PUT", "/event-type/{name}", shared, 200, (*handler).putEventType}),
		op[eventTypeIn, eventTypeOut]{"event-type.patch", "PATCH", "/event-type/{name}", shared, 200, (*handler).patchEventType},
		op[none, none]{"event-type.delete", "DELETE", "/event-type/{name}", shared, 204, (*handler).deleteEventType}.asks(params{withFlag("expunge", "Delete instead of archiving.", false)}),

		op[none, listing[endpointOut]]{"endpoint.list", "GET", "/app/{app}/endpoint", inside, 200, (*handler).listEndpoints}.asks(paging()),
		op[endpointIn, endpointOut]{"endpoint.create", "POST", "/app/{app}/endpoint", inside, 201, (*handler).createEndpoint},
		op[none, endpointOut]{"endpoint.get", "GET", "/app/{app}/endpoint/{endpoint}", inside, 200, (*handler).getEndpoint},
		also(201, op[endpointIn, endpointOut]{"endpoint.put", "PUT", "/app/{app}/endpoint/{endpoint}", inside, 200, (*handler).putEndpoint}),
		op[endpointIn, endpointOut]{"endpoint.patch", "PATCH", "/app/{app}/endpoint/{endpoint}", inside, 200, (*handler).patchEndpoint},
		op[none, none]{"endpoint.delete", "DELETE", "/app/{app}/endpoint/{endpoint}", inside, 204, (*handler).deleteEndpoint},
		op[none, endpointOut]{"endpoint.pause", "POST", "/app/{app}/endpoint/{endpoint}/pause", inside, 200, (*handler).pauseEndpoint},
		op[none, endpointOut]{"endpoint.resume", "POST", "/app/{app}/endpoint/{endpoint}/resume", inside, 200, (*handler).resumeEndpoint},
		op[none, headersOut]{"endpoint.headers.get", "GET", "/app/{app}/endpoint/{endpoint}/headers", inside, 200, (*handler).getHeaders},
		op[headersIn, none]{"endpoint.headers.put", "PUT", "/app/{app}/endpoint/{endpoint}/headers", inside, 204, (*handler).putHeaders},
		op[headersIn, none]{"endpoint.headers.patch", "PATCH", "/app/{app}/endpoint/{endpoint}/headers", inside, 204, (*handler).patchHeaders},
		op[none, secretOut]{"endpoint.secret.get", "GET", "/app/{app}/endpoint/{endpoint}/secret", credential, 200, (*handler).getSecret},
		op[rotateIn, none]{"endpoint.secret.rotate", "POST", "/app/{app}/endpoint/{endpoint}/secret/rotate", credential, 204, (*handler).rotateSecret},
		op[exampleIn, messageOut]{"endpoint.send-example", "POST", "/app/{app}/endpoint/{endpoint}/send-example", inside, 200, (*handler).sendExample},
		op[none, statsOut]{"endpoint.stats", "GET", "/app/{app}/endpoint/{endpoint}/stats", inside, 200, (*handler).getEndpointStats}.asks(params{withMoment("since", "Where counting begins; 28 days ago unless given."), withMoment("until", "Where it ends; now unless given.")}),
		op[none, listing[messageOut]]{"endpoint.messages", "GET", "/app/{app}/endpoint/{endpoint}/msg", inside, 200, (*handler).listAttemptedMessages}.asks(span(), messageFilters(), params{withContents(true), withStatuses(), withExpanded()}),

		bodies[messageIn, publishedOut](raw{"message.create", "POST", "/app/{app}/msg", publish, 202, (*handler).createMessage}.asks(params{withContents(true), withText("wait", "Answer with what has become of the deliveries once each had a try, or after so long: a duration up to 1m, such as 5s.")})),
		op[precheckIn, precheckOut]{"message.precheck", "POST", "/app/{app}/msg/precheck/active", publish, 200, (*handler).precheck},
		op[none, listing[messageOut]]{"message.list", "GET", "/app/{app}/msg", inside, 200, (*handler).listMessages}.asks(span(), messageFilters(), params{withContents(true)}),
		op[none, messageOut]{"message.get", "GET", "/app/{app}/msg/{msg}", inside, 200, (*handler).getMessage}.asks(params{withContents(true)}),
		media("*/*", raw{"message.raw", "GET", "/app/{app}/msg/{msg}/raw", inside, 200, (*handler).getRaw}),
		op[none, listing[destinationOut]]{"message.endpoints", "GET", "/app/{app}/msg/{msg}/endpoint", inside, 200, (*handler).listDestinations}.asks(paging(), params{withExpanded()}),
		op[none, explanations]{"message.explain", "GET", "/app/{app}/msg/{msg}/explain", inside, 200, (*handler).explain}.asks(paging()),
		op[none, empty]{"message.resend", "POST", "/app/{app}/msg/{msg}/endpoint/{endpoint}/resend", inside, 202, (*handler).resend},
		op[none, none]{"message.cancel", "POST", "/app/{app}/msg/{msg}/endpoint/{endpoint}/cancel", inside, 204, (*handler).cancel},
		op[none, attemptOut]{"attempt.get", "GET", "/app/{app}/msg/{msg}/attempt/{attempt}", inside, 200, (*handler).getAttempt}.asks(params{withExpanded()}),
		op[none, listing[attemptOut]]{"attempt.list-of-message", "GET", "/app/{app}/msg/{msg}/attempt", inside, 200, (*handler).listMessageAttempts}.asks(span(), attemptFilters(), params{withText("endpoint_id", "Only attempts at this endpoint, an id or uid.")}),
		op[none, listing[attemptOut]]{"attempt.list-of-delivery", "GET", "/app/{app}/msg/{msg}/endpoint/{endpoint}/attempt", inside, 200, (*handler).listDeliveryAttempts}.asks(span(), attemptFilters()),
		op[none, listing[attemptOut]]{"attempt.list-by-message", "GET", "/app/{app}/attempt/msg/{msg}", inside, 200, (*handler).listMessageAttempts}.asks(span(), attemptFilters(), params{withText("endpoint_id", "Only attempts at this endpoint, an id or uid.")}),
		op[none, listing[attemptOut]]{"attempt.list-by-endpoint", "GET", "/app/{app}/attempt/endpoint/{endpoint}", inside, 200, (*handler).listEndpointAttempts}.asks(span(), attemptFilters()),
		op[none, listing[deliveryOut]]{"delivery.list", "GET", "/app/{app}/delivery", inside, 200, (*handler).listDeliveries}.asks(paging(), deliveryFilters()),

		op[recoverIn, taskOut]{"endpoint.recover", "POST", "/app/{app}/endpoint/{endpoint}/recover", inside, 202, (*handler).recoverEndpoint},
		op[recoverIn, taskOut]{"endpoint.replay-missing", "POST", "/app/{app}/endpoint/{endpoint}/replay-missing", inside, 202, (*handler).replayMissing},
		op[bulkReplayIn, taskOut]{"endpoint.bulk-replay", "POST", "/app/{app}/endpoint/{endpoint}/bulk-replay", inside, 202, (*handler).bulkReplay},
		op[none, listing[replayOut]]{"replay.list", "GET", "/app/{app}/replay", inside, 200, (*handler).listReplays}.asks(paging(), params{withText("state", "Only replays in this state.", replayStates()...)}),
		op[replayIn, replayOut]{"replay.create", "POST", "/app/{app}/replay", inside, 201, (*handler).createReplay},
		op[replayIn, previewOut]{"replay.preview", "POST", "/app/{app}/replay/preview", inside, 200, (*handler).previewReplay},
		op[none, replayOut]{"replay.get", "GET", "/app/{app}/replay/{replay}", inside, 200, (*handler).getReplay},
		op[none, replayOut]{"replay.pause", "POST", "/app/{app}/replay/{replay}/pause", inside, 200, (*handler).pauseReplay},
		op[none, replayOut]{"replay.resume", "POST", "/app/{app}/replay/{replay}/resume", inside, 200, (*handler).resumeReplay},
		op[none, replayOut]{"replay.cancel", "POST", "/app/{app}/replay/{replay}/cancel", inside, 200, (*handler).cancelReplay},
		op[none, listing[taskDetailOut]]{"background-task.list", "GET", "/background-task", global, 200, (*handler).listTasks}.asks(paging(), params{
			withText("status", "Only tasks of this status.", taskStatuses()...), withText("task", "Only tasks of this kind.", taskNames()...),
		}),
		op[none, taskDetailOut]{"background-task.get", "GET", "/background-task/{task}", global, 200, (*handler).getTask},

		op[none, listing[sourceOut]]{"source.list", "GET", "/app/{app}/source", inside, 200, (*handler).listSources}.asks(paging()),
		op[sourceIn, sourceOut]{"source.create", "POST", "/app/{app}/source", inside, 201, (*handler).createSource},
		op[none, sourceOut]{"source.get", "GET", "/app/{app}/source/{source}", inside, 200, (*handler).getSource},
		op[sourceIn, sourceOut]{"source.put", "PUT", "/app/{app}/source/{source}", inside, 200, (*handler).putSource},
		op[sourceIn, sourceOut]{"source.patch", "PATCH", "/app/{app}/source/{source}", inside, 200, (*handler).patchSource},
		op[none, none]{"source.delete", "DELETE", "/app/{app}/source/{source}", inside, 204, (*handler).deleteSource},
		op[none, sourceOut]{"source.pause", "POST", "/app/{app}/source/{source}/pause", inside, 200, (*handler).pauseSource},
		op[none, sourceOut]{"source.resume", "POST", "/app/{app}/source/{source}/resume", inside, 200, (*handler).resumeSource},
		op[sourceSecretIn, none]{"source.secret.rotate", "POST", "/app/{app}/source/{source}/secret/rotate", credential, 204, (*handler).rotateSourceSecret},
		op[none, listing[refusalOut]]{"refusal.list", "GET", "/app/{app}/source/{source}/refusal", inside, 200, (*handler).listRefusals}.asks(span()),
		op[none, refusalOut]{"refusal.get", "GET", "/app/{app}/source/{source}/refusal/{refusal}", inside, 200, (*handler).getRefusal},

		op[none, listing[keyOut]]{"key.list", "GET", "/key", administration, 200, (*handler).listKeys}.asks(paging()),
		op[keyIn, keyOut]{"key.create", "POST", "/key", administration, 201, (*handler).createKey},
		op[none, keyOut]{"key.get", "GET", "/key/{key}", administration, 200, (*handler).getKey},
		op[none, none]{"key.delete", "DELETE", "/key/{key}", administration, 204, (*handler).deleteKey},

		op[portalIn, portalOut]{"auth.app-portal-access", "POST", "/auth/app-portal-access/{app}", global, 200, (*handler).openPortal},
		op[none, portalOut]{"auth.dashboard-access", "POST", "/auth/dashboard-access/{app}", global, 200, (*handler).openDashboard},
		op[expireIn, none]{"auth.expire-all", "POST", "/auth/app/{app}/expire-all", global, 204, (*handler).expireVisitors},
		op[none, none]{"auth.logout", "POST", "/auth/logout", visit, 204, (*handler).logout},
	}
}
