#include "http/router.h"

#include <utility>

#include "http/exchange.h"

namespace hadal::http {
namespace {

std::string allowed(const std::map<std::string, Handler, std::less<>>& methods) {
  std::string list;
  for (const auto& [method, handler] : methods) {
    list += method + ", ";
    if (method == "GET" && methods.find("HEAD") == methods.end()) list += "HEAD, ";
  }
  return list + "OPTIONS";
}

}  // namespace

void respond_error(ResponseWriter& response, const ErrorBodyMaker& maker, int status, std::string_view message,
                   Headers headers) {
  ErrorBody error = make_error_body(maker, status, message);
  headers.set("Content-Type", std::move(error.content_type));
  response.respond(status, std::move(headers), std::move(error.body));
}

void Router::add(std::string_view method, std::string_view path, Handler handler) {
  routes_[std::string(path)][std::string(method)] = std::move(handler);
}

void Router::handle(Request request, std::shared_ptr<ResponseWriter> response) const {
  if (request.method == "OPTIONS" && request.path == "*") {
    response->respond(204, {}, "");
    return;
  }
  const auto route = routes_.find(request.path);
  if (route == routes_.end()) {
    respond_error(*response, error_body_, 404, "no such path: " + request.path);
    return;
  }
  const Methods& methods = route->second;
  auto method = methods.find(request.method);
  if (method == methods.end() && request.method == "HEAD") method = methods.find("GET");
  if (method != methods.end()) {
    method->second(std::move(request), std::move(response));
  } else if (request.method == "OPTIONS") {
    response->respond(204, {{"Allow", allowed(methods)}}, "");
  } else {
    respond_error(*response, error_body_, 405, "the path " + request.path + " does not take " + request.method,
                  {{"Allow", allowed(methods)}});
  }
}

}  // namespace hadal::http
