// TLS of the server and the client, over real sockets and from memory.
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "http/client.h"
#include "http/server.h"
#include "http/sse.h"
#include "http/testing.h"
#include "http/testing_certificate.h"
#include "http/tls_context.h"

namespace hadal::http {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::make_certificate;
using testing::put_file;
using testing::RawClient;
using testing::TestCertificate;

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/hadal_tls_" + std::to_string(::getpid());
    certificate_file_ = folder_ + ".pem";
    key_file_ = folder_ + ".key";
    use(make_certificate("one"));
  }
  void use(const TestCertificate& made) {
    made_ = made;
    put_file(key_file_, made.key);
    put_file(certificate_file_, made.certificate);
  }
  TlsOptions tls() const { return {.certificate_file = certificate_file_, .key_file = key_file_}; }
  void start(ServerOptions options) {
    options.observer = [this](const Exchanged& exchanged) { bytes_sent_ += exchanged.bytes_sent; };
    auto server =
        Server::create(std::move(options), [this](Request request, std::shared_ptr<ResponseWriter> response) {
          if (request.path == "/stream") {
            response->start_stream(200, sse_headers());
            for (int i = 0; i < 100; ++i) response->write("data: " + std::to_string(i) + "\n\n");
            return response->finish();
          }
          if (request.path == "/large") {
            response->respond(200, {}, std::string(8'000'000, 'x'));
            return;
          }
          if (request.path == "/hold") {
            response->on_disconnect([this] { ++disconnects_; });
            response->start_stream(200, {});
            held_ = response;
            return;
          }
          response->respond(200, {}, request.body.empty() ? "hello" : std::move(request.body));
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }
  void start() { start({.tls = tls()}); }
  /// A client that trusts the certificate that is in the file now.
  Client client(const std::string& host = "127.0.0.1") {
    const std::string trusted = folder_ + "_ca_" + std::to_string(++authorities_) + ".pem";
    put_file(trusted, made_.certificate);
    return *Client::create("https://" + host + ":" + std::to_string(server_->port()), {.ca_file = trusted});
  }

  TestCertificate made_;
  std::string folder_, certificate_file_, key_file_;
  int authorities_ = 0;
  std::atomic<uint64_t> bytes_sent_ = 0;
  std::atomic<int> disconnects_ = 0;
  std::shared_ptr<ResponseWriter> held_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, AnswersKeepsTheConnectionAndCarriesLargeBodies) {
  start();
  EXPECT_EQ(server_->address(), "https://127.0.0.1:" + std::to_string(server_->port()));
  Client one = client();
  const std::string large(3'000'000, 'y');
  for (const std::string& body : {std::string("small"), large, std::string("again")}) {
    const auto answer = one.request("POST", "/echo", {}, body);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->body, body);
  }
  EXPECT_EQ(one.request("GET", "/large")->body.size(), 8'000'000u);
  EXPECT_EQ(server_->stats().connections_total, 1);
  one.close();
  ASSERT_TRUE(eventually([&] { return server_->stats().connections == 0; }));
  EXPECT_GT(bytes_sent_, 11'000'000u);
  EXPECT_LT(bytes_sent_, 11'002'000u) << "what is counted is the answers, not TLS's records";
}

TEST_F(TlsTest, StreamsAndNoticesAHangUp) {
  start();
  Client one = client("localhost");
  int events = 0;
  const auto answer = one.post_sse("/stream", "{}", [&](const SseEvent&) {
    ++events;
    return true;
  });
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(events, 100);
  std::thread reader([&] {
    EXPECT_EQ(one.stream(
                     "GET", "/hold", {}, "", [](const Response&) { return false; }, nullptr)
                  .code(),
              absl::StatusCode::kCancelled);
    one.close();
  });
  reader.join();
  EXPECT_TRUE(eventually([&] { return disconnects_ == 1; }));
}

TEST_F(TlsTest, AClientTrustsNeitherAnUnknownCertificateNorAnotherName) {
  start();
  Client stranger = *Client::create(server_->address());
  const auto unknown = stranger.request("GET", "/hello");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("certificate verify failed: self"), absl::string_view::npos)
      << unknown.status();
  // 127.0.0.2 reaches the same server, whose certificate does not speak of it
  server_.reset();
  start({.host = "0.0.0.0", .tls = tls()});
  const auto other = client("127.0.0.2").request("GET", "/hello");
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.status().message().find("mismatch"), absl::string_view::npos) << other.status();
  EXPECT_EQ(client().request("GET", "/hello")->body, "hello") << "the server serves on";
}

TEST_F(TlsTest, PlainHttpOnTheTlsPortIsToldSo) {
  start();
  RawClient raw(server_->port());
  raw.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string answer = raw.read_to_end();
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 400");
  EXPECT_NE(answer.find("https://"), std::string::npos);
  EXPECT_TRUE(raw.ended());
  const auto plain =
      Client::create("http://127.0.0.1:" + std::to_string(server_->port()))->request("GET", "/hello");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->status, 400);
}

TEST_F(TlsTest, UnfinishedAndBrokenHandshakesEnd) {
  start({.tls = tls(), .header_timeout = 200ms});
  RawClient silent(server_->port()), half(server_->port()), broken(server_->port()), gone(server_->port());
  const std::string hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                          11);  // the beginning of a ClientHello
  half.send(hello);
  gone.send(hello);
  gone.close();
  broken.send(std::string("\x16\x03\x01\x00\x05", 5) + "junk!");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(silent.read_to_end(), "");
  EXPECT_EQ(half.read_to_end(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
  EXPECT_EQ(broken.read_to_end().substr(0, 1), "\x15") << "an alert";
  EXPECT_TRUE(silent.ended() && half.ended() && broken.ended());
  EXPECT_EQ(server_->stats().requests_total, 0);
  EXPECT_EQ(client().request("GET", "/hello")->body, "hello");
}

TEST_F(TlsTest, TooManyConnectionsAre503) {
  start({.tls = tls(), .max_connections = 1});
  Client one = client(), two = client();
  ASSERT_EQ(one.request("GET", "/hello")->body, "hello");
  const auto refused = two.request("GET", "/hello");
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(refused->status, 503);
}

TEST_F(TlsTest, ANewCertificateIsTakenWithoutDroppingConnections) {
  TlsOptions options = tls();
  options.refresh = true;
  options.refresh_interval = 10ms;
  start({.tls = options});
  Client old = client();
  ASSERT_EQ(old.request("GET", "/hello")->body, "hello");

  put_file(certificate_file_, "no certificate");
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(client().request("GET", "/hello")->body, "hello") << "a broken file leaves the old one";
  use(make_certificate("two"));  // the key first: for a moment the two do not belong together
  EXPECT_TRUE(eventually([&] { return client().request("GET", "/hello").ok(); })) << "the new one is served";
  EXPECT_EQ(old.request("GET", "/hello")->body, "hello");
  EXPECT_FALSE(
      Client::create(server_->address(), {.ca_file = folder_ + "_ca_1.pem"})->request("GET", "/hello").ok())
      << "who trusts the old one alone is not served with it any more";
}

TEST_F(TlsTest, ClientsCertificatesAreAskedFor) {
  TlsOptions options = tls();
  options.client_ca_file = certificate_file_;
  options.client_certificates = TlsOptions::ClientCertificates::kRequired;
  start({.tls = options});
  EXPECT_FALSE(client().request("GET", "/hello").ok());
  options.client_certificates = TlsOptions::ClientCertificates::kOptional;
  server_.reset();
  start({.tls = options});
  EXPECT_EQ(client().request("GET", "/hello")->body, "hello");
}

TEST_F(TlsTest, FilesThatCannotBeUsedAreNamed) {
  const TestCertificate other = make_certificate("other");
  const std::string other_key = folder_ + "_other.key", encrypted = folder_ + "_encrypted.key";
  put_file(other_key, other.key);
  put_file(encrypted,
           "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQwwHAQI\n"
           "-----END ENCRYPTED PRIVATE KEY-----\n");
  const auto failure = [&](TlsOptions options) {
    const auto server =
        Server::create({.tls = std::move(options)}, [](Request, std::shared_ptr<ResponseWriter>) {});
    return server.ok() ? "none" : std::string(message_of(server.status()));
  };
  EXPECT_EQ(failure(tls()), "none");
  EXPECT_EQ(
      failure({.certificate_file = certificate_file_, .key_file = other_key}),
      "the private key in " + other_key + " does not belong to the certificate in " + certificate_file_);
  EXPECT_NE(failure({.certificate_file = "/nowhere.pem", .key_file = key_file_}).find("/nowhere.pem"),
            std::string::npos);
  EXPECT_NE(failure({.certificate_file = key_file_}).find("holds no certificate"), std::string::npos);
  const std::string no_key = failure({.certificate_file = certificate_file_});
  EXPECT_NE(no_key.find("holds no private key"), std::string::npos) << no_key;
  const std::string bad_key = failure({.certificate_file = certificate_file_, .key_file = encrypted});
  EXPECT_EQ(bad_key, "the private key in " + encrypted + " is encrypted; give one that is not");
  EXPECT_FALSE(check_tls({.certificate_file = certificate_file_, .key_file = other_key}).ok());
  EXPECT_TRUE(check_tls(tls()).ok());
  EXPECT_TRUE(check_tls({}).ok());
  EXPECT_NE(failure({.key_file = key_file_}), "none");
  const auto on_unix = Server::create({.host = "", .unix_path = folder_ + ".sock", .tls = tls()},
                                      [](Request, std::shared_ptr<ResponseWriter>) {});
  EXPECT_FALSE(on_unix.ok());
  // certificate and key in one file
  put_file(certificate_file_, made_.certificate + made_.key);
  EXPECT_EQ(failure({.certificate_file = certificate_file_}), "none");
}

TEST_F(TlsTest, AStopEndsOpenConnectionsAndHandshakes) {
  start();
  Client one = client();
  ASSERT_EQ(one.request("GET", "/hello")->body, "hello");
  RawClient shaking(server_->port());
  ASSERT_TRUE(eventually([&] { return server_->stats().connections == 2; }));
  EXPECT_TRUE(server_->stop(5s));
  EXPECT_EQ(shaking.read_to_end(), "");
  EXPECT_TRUE(shaking.ended());
}

// Two sessions without a socket; the bytes between them cut and bent.
TEST_F(TlsTest, WhatIsBentOnTheWayIsNeverTakenForText) {
  auto certificates = *TlsCertificates::load(tls());
  const std::string text(40'000, 't');
  for (size_t bent = 0; bent < 6000; bent += 37) {
    auto client = *connect_tls("localhost", certificate_file_);
    auto server = certificates->accept();
    std::string sent, got, unused;
    size_t passed = 0;
    for (int turn = 0; turn < 8; ++turn) {
      if (client->state() == TlsSession::State::kOpen && turn < 6) {
        ASSERT_TRUE(client->send(text));
        sent += text;
      }
      std::string bytes = client->take_output();
      if (bent > 0 && passed <= bent && bent < passed + bytes.size()) bytes[bent - passed] ^= 1;
      passed += bytes.size();
      for (size_t at = 0; at < bytes.size(); at += 1000)
        server->receive(std::string_view(bytes).substr(at, 1000), &got);
      client->receive(server->take_output(), &unused);
    }
    EXPECT_EQ(sent.substr(0, got.size()), got) << bent;
    if (bent == 0) {
      EXPECT_EQ(sent.size(), got.size());
    }
  }
}

}  // namespace
}  // namespace hadal::http
