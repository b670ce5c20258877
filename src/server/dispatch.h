// The way of every request that generates: what is parsed on the io thread is checked there, the long part
// (templates, tokenizing) is done by a worker, which submits.
#pragma once

#include <memory>
#include <utility>

#include "server/endpoints.h"

namespace hadal {

/// `parsed` is a Result of a request with a `model`; `prepare(service, request)` makes a Result<Submission>
/// of it. Every way out answers `writer`, errors in `form`.
template <typename Parsed, typename Prepare>
void dispatch(const EndpointContext& context, const http::Request& http, openai::Result<Parsed> parsed,
              const WriterPtr& writer, Prepare prepare, ErrorForm form = ErrorForm::kOpenAi) {
  const std::shared_ptr<const Service>& service = context.service;
  if (!parsed.ok()) return respond_error(*writer, parsed.error(), form);
  auto origin = read_origin(http, service->trust);
  if (!origin.ok()) return respond_error(*writer, origin.error(), form);
  if (origin->tenant_ignored) service->metrics->on_untrusted_tenant();
  if (service->draining.load()) return respond_error(*writer, refuse(*service, Refusal::kDraining), form);
  auto request = std::make_shared<Parsed>(std::move(*parsed));
  if (!service->serves(request->model))
    return respond_error(*writer, openai::model_not_found(request->model), form);
  const bool queued =
      context.work(http.body.size(), [service, request, writer, prepare, form, origin = std::move(*origin)] {
        if (!writer->alive()) return;
        auto prepared = prepare(*service, *request);
        if (!prepared.ok()) return respond_error(*writer, prepared.error(), form);
        Submission submission = std::move(*prepared);
        submission.origin = origin;
        submission.error_form = form;
        submission.model = request->model.empty() ? service->model_names.front() : request->model;
        submit_to_engine(service, std::move(submission), writer);
      });
  if (!queued) respond_error(*writer, refuse(*service, Refusal::kBusy), form);
}

}  // namespace hadal
