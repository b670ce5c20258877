// Exact path and method to a handler. Filled before the server starts, read-only afterwards (any thread).
//
// What no route takes is answered here: 404 for an unknown path, 405 with `Allow` for a known path with another method,
// 204 with `Allow` for OPTIONS. HEAD runs the GET handler; the server leaves the body out.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "http/server.h"

namespace hadal::http {

class Router {
 public:
  /// `error_body` shapes the 404 and 405 answers; null: plain text.
  explicit Router(ErrorBodyMaker error_body = nullptr) : error_body_(std::move(error_body)) {}

  void add(std::string_view method, std::string_view path, Handler handler);
  void handle(Request request, std::shared_ptr<ResponseWriter> response) const;
  bool knows(std::string_view path) const { return routes_.find(path) != routes_.end(); }

 private:
  using Methods = std::map<std::string, Handler, std::less<>>;

  const ErrorBodyMaker error_body_;
  std::map<std::string, Methods, std::less<>> routes_;
};

/// Answers with the error's body in the server's form.
void respond_error(ResponseWriter& response, const ErrorBodyMaker& maker, int status, std::string_view message,
                   Headers headers = {});

}  // namespace hadal::http
