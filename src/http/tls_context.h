// Where TLS sessions come from: a server's certificate and key, loaded again when their files change; a
// client's trust. Inside of http/ only.
//
// Threads: TlsCertificates and client_tls() may be used from any thread. With `refresh` a thread of its own
// looks at the files; a running session keeps the certificate that it began with.
//
// Errors name the file and what is wrong with it. A key's bytes are never in a message.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"
#include "http/server.h"
#include "http/tls_session.h"

struct ssl_ctx_st;

namespace hadal::http {

using TlsContext = std::shared_ptr<ssl_ctx_st>;

class TlsCertificates {
 public:
  /// Reads the files; starts the thread where `options.refresh` is set.
  static StatusOr<std::unique_ptr<TlsCertificates>> load(const TlsOptions& options);
  ~TlsCertificates();

  /// A server's session with the certificate of this moment; null when memory is out.
  std::unique_ptr<TlsSession> accept() EXCLUDES(mutex_);

 private:
  TlsCertificates(TlsOptions options, TlsContext context, std::string seen);
  void watch() EXCLUDES(mutex_);
  void refresh() EXCLUDES(mutex_);

  const TlsOptions options_;
  Mutex mutex_;
  CondVar stopped_changed_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  TlsContext context_ GUARDED_BY(mutex_);
  std::string seen_;  // what the files looked like when they were read last; of the thread
  std::thread watcher_;
};

/// A client's session with `host`, whose certificate must be signed by an authority of `ca_file`, or of the
/// system where that is empty, and made out to `host` (a name or an address).
StatusOr<std::unique_ptr<TlsSession>> connect_tls(const std::string& host, const std::string& ca_file);

}  // namespace hadal::http
