#include "http/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <optional>
#include <thread>

#include "base/log.h"
#include "http/connection.h"

namespace hadal::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

// Over max_connections a polite 503 is given to this many more; beyond that the socket is just closed.
constexpr int64_t kPoliteRefusals = 256;

PeerInfo peer_of(const tcp::socket& socket) {
  error_code ec;
  const tcp::endpoint endpoint = socket.remote_endpoint(ec);
  PeerInfo peer;
  if (!ec) {
    peer.address = endpoint.address().to_string(ec);
    peer.port = endpoint.port();
  }
  return peer;
}

PeerInfo peer_of(Local::socket& socket) {
  PeerInfo peer{.address = "unix", .is_unix_socket = true};
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
    peer.uid = credentials.uid;
  }
  return peer;
}

// A socket file that nobody listens on is left over from a process that died; one in use is not ours to take.
Status remove_stale_socket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return OkStatus();
  if (!S_ISSOCK(info.st_mode)) return failed_precondition("{} exists and is not a socket", path);
  asio::io_context context;
  Local::socket probe(context);
  error_code ec;
  probe.connect(Local::endpoint(path), ec);
  if (!ec) return failed_precondition("another process listens on {}", path);
  ::unlink(path.c_str());
  return OkStatus();
}

std::vector<std::unique_ptr<IoThread>> make_io_threads(int count) {
  std::vector<std::unique_ptr<IoThread>> ios;
  for (int i = 0; i < count; ++i) ios.push_back(std::make_unique<IoThread>());
  return ios;
}

class ServerImpl final : public Server {
 public:
  ServerImpl(ServerOptions options, Handler handler) : ios_(make_io_threads(options.io_threads)) {
    core_.options = std::move(options);
    core_.handler = std::move(handler);
    for (const auto& io : ios_) guards_.emplace_back(io->context.get_executor());
  }
  ~ServerImpl() override { stop(std::chrono::milliseconds(0)); }

  Status listen() {
    const ServerOptions& options = core_.options;
    if (options.tls.wanted()) {
      if (options.host.empty()) return invalid_argument("http: TLS is for TCP; a Unix socket has none");
      ASSIGN_OR_RETURN(core_.tls, TlsCertificates::load(options.tls));
    }
    if (!options.host.empty()) RETURN_IF_ERROR(listen_tcp(options.host, options.port));
    if (!options.unix_path.empty()) RETURN_IF_ERROR(listen_unix(options.unix_path));
    if (!tcp_ && !local_) return invalid_argument("http: neither a host nor a Unix socket to listen on");
    return OkStatus();
  }

  void run() {
    if (tcp_) accept(*tcp_, tcp_retry_);
    if (local_) accept(*local_, local_retry_);
    for (const auto& io : ios_) {
      threads_.emplace_back([context = &io->context] {
        // Nothing that we write throws; what a library throws must not end the process.
        for (;;) {
          try {
            context->run();
            return;
          } catch (const std::exception& e) {
            log_error("http: io thread caught: {}", e.what());
          }
        }
      });
    }
  }

  uint16_t port() const override { return port_; }
  std::string address() const override {
    if (port_ == 0) return "unix:" + core_.options.unix_path;
    const std::string& host = core_.options.host;
    return fmt::format("{}://{}:{}", core_.tls ? "https" : "http", host.find(':') == std::string::npos ? host : "[" + host + "]", port_);
  }
  ServerStats stats() const override {
    return {.connections = core_.connections, .requests_in_progress = core_.in_progress,
            .connections_total = core_.connections_total, .requests_total = core_.requests_total};
  }
  bool stop(std::chrono::milliseconds deadline) override;

 private:
  Status listen_tcp(const std::string& host, uint16_t port);
  Status listen_unix(const std::string& path);
  template <typename Acceptor>
  void accept(Acceptor& acceptor, asio::steady_timer& retry);
  template <typename AcceptedSocket>
  void admit(AcceptedSocket socket, IoThread& io);

  ServerCore core_;
  std::vector<std::unique_ptr<IoThread>> ios_;  // destroyed before core_
  std::vector<asio::executor_work_guard<asio::io_context::executor_type>> guards_;
  std::optional<tcp::acceptor> tcp_;
  std::optional<Local::acceptor> local_;
  asio::steady_timer tcp_retry_{ios_.front()->context}, local_retry_{ios_.front()->context};
  std::vector<std::thread> threads_;
  size_t next_io_ = 0;
  uint16_t port_ = 0;
  Mutex stop_mutex_;
  bool stopped_ GUARDED_BY(stop_mutex_) = false;
};

Status ServerImpl::listen_tcp(const std::string& host, uint16_t port) {
  error_code ec;
  tcp::resolver resolver(ios_.front()->context);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, ec);
  if (ec || found.empty()) return invalid_argument("cannot resolve the host '{}' to listen on: {}", host, ec.message());
  // IPv4 first: "localhost" should mean what most clients try.
  tcp::endpoint endpoint = found.begin()->endpoint();
  for (const auto& entry : found) {
    if (entry.endpoint().address().is_v4()) {
      endpoint = entry.endpoint();
      break;
    }
  }
  tcp::acceptor acceptor(ios_.front()->context);
  if (acceptor.open(endpoint.protocol(), ec); ec) return unavailable("cannot open a socket: {}", ec.message());
  acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (acceptor.bind(endpoint, ec); !ec) acceptor.listen(4096, ec);
  if (ec) return unavailable("cannot listen on {}:{}: {}", host, port, ec.message());
  port_ = acceptor.local_endpoint(ec).port();
  tcp_.emplace(std::move(acceptor));
  return OkStatus();
}

Status ServerImpl::listen_unix(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return invalid_argument("the Unix socket's path is longer than {} bytes: {}", sizeof(sockaddr_un{}.sun_path) - 1,
                            path);
  }
  RETURN_IF_ERROR(remove_stale_socket(path));
  error_code ec;
  Local::acceptor acceptor(ios_.front()->context);
  if (acceptor.open(Local(), ec); !ec) acceptor.bind(Local::endpoint(path), ec);
  if (!ec) acceptor.listen(4096, ec);
  if (ec) return unavailable("cannot listen on {}: {}", path, ec.message());
  local_.emplace(std::move(acceptor));
  return OkStatus();
}

template <typename Acceptor>
void ServerImpl::accept(Acceptor& acceptor, asio::steady_timer& retry) {
  IoThread& io = *ios_[next_io_++ % ios_.size()];
  acceptor.async_accept(io.context, [this, &acceptor, &retry, &io](error_code ec, typename Acceptor::protocol_type::socket socket) {
    if (core_.draining || ec == asio::error::operation_aborted) return;
    if (ec) {  // usually out of descriptors: let some be freed
      log_warning("http: cannot accept a connection: {}", ec.message());
      retry.expires_after(std::chrono::milliseconds(100));
      retry.async_wait([this, &acceptor, &retry](error_code) {
        if (!core_.draining) accept(acceptor, retry);
      });
      return;
    }
    admit(std::move(socket), io);
    accept(acceptor, retry);
  });
}

template <typename AcceptedSocket>
void ServerImpl::admit(AcceptedSocket socket, IoThread& io) {
  PeerInfo peer = peer_of(socket);
  error_code ec;
  if (!peer.is_unix_socket) socket.set_option(tcp::no_delay(true), ec);
  const int64_t open = ++core_.connections;
  ++core_.connections_total;
  const auto limit = static_cast<int64_t>(core_.options.max_connections);
  if (open > limit + kPoliteRefusals) {
    --core_.connections;
    return;
  }
  const auto admission = open > limit ? Connection::Admission::kTooMany : Connection::Admission::kServe;
  auto connection = std::make_shared<Connection>(core_, io, Socket(std::move(socket)), std::move(peer));
  asio::post(io.context, [connection = std::move(connection), admission] { connection->start(admission); });
}

bool ServerImpl::stop(std::chrono::milliseconds deadline) {
  MutexLock lock(stop_mutex_);
  if (stopped_) return true;
  stopped_ = true;
  core_.draining = true;
  const auto until = std::chrono::steady_clock::now() + deadline;
  asio::post(ios_.front()->context, [this] {
    error_code ec;
    if (tcp_) tcp_->close(ec);
    if (local_) local_->close(ec);
    tcp_retry_.cancel();
    local_retry_.cancel();
  });
  for (const auto& io : ios_) {
    asio::post(io->context, [&thread = *io] {
      const std::vector<std::shared_ptr<Connection>> all(thread.connections.begin(), thread.connections.end());
      for (const auto& connection : all) connection->begin_drain();
    });
  }
  if (threads_.empty()) guards_.clear();
  while (!threads_.empty() && core_.connections > 0 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const bool clean = core_.in_progress == 0;
  for (const auto& io : ios_) {
    asio::post(io->context, [&thread = *io] {
      thread.stopped = true;
      const std::vector<std::shared_ptr<Connection>> all(thread.connections.begin(), thread.connections.end());
      for (const auto& connection : all) connection->close();
      thread.sweeper.cancel();
    });
  }
  guards_.clear();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  if (local_) ::unlink(core_.options.unix_path.c_str());
  return clean;
}

}  // namespace

StatusOr<std::unique_ptr<Server>> Server::create(ServerOptions options, Handler handler) {
  if (options.io_threads < 1) options.io_threads = 1;
  if (!handler) return invalid_argument("http: a server needs a handler");
  try {
    auto server = std::make_unique<ServerImpl>(std::move(options), std::move(handler));
    RETURN_IF_ERROR(server->listen());
    server->run();
    return std::unique_ptr<Server>(std::move(server));
  } catch (const std::exception& e) {
    return internal_error("http: cannot start the server: {}", e.what());
  }
}

}  // namespace hadal::http
