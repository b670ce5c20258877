// Header fields that every answer of a request carries, whatever handler gives it: its id, and what browsers
// ask for before they let a page of another origin read it (CORS).
//
// Threads: any.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/server.h"

namespace hadal {

/// The request's X-Request-Id if it is one that may be repeated (1 to 128 printable ASCII characters without
/// blanks), else a new one.
std::string request_id_of(const http::Request& request);

class Cors {
 public:
  Cors() = default;
  /// Origins that may read answers, or "*"; none: no header is sent.
  explicit Cors(std::vector<std::string> origins) : origins_(std::move(origins)) {}

  void add_headers(const http::Request& request, http::Headers& headers) const;
  /// Answers a preflight (OPTIONS with Access-Control-Request-Method) and returns true.
  bool answer_preflight(const http::Request& request, http::ResponseWriter& writer) const;

 private:
  /// What may be told; empty: nothing.
  std::string allowed_origin(const http::Request& request) const;
  std::vector<std::string> origins_;
};

/// A writer that adds `fields` to the head of the answer.
std::shared_ptr<http::ResponseWriter> with_headers(std::shared_ptr<http::ResponseWriter> writer,
                                                   http::Headers fields);

}  // namespace hadal
