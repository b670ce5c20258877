#include "http/tls_context.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <array>
#include <cstring>

#include "base/files.h"
#include "base/log.h"
#include "http/tls_errors.h"

namespace hadal::http {
namespace {

constexpr uint64_t kMaxPemBytes = 4 << 20;

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

// The library's own configuration file may name modules that a static binary cannot load; nothing of it is
// wanted here.
void prepare_library() {
  static const int done = OPENSSL_init_ssl(
      OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_SSL_STRINGS, nullptr);
  (void)done;
}

TlsContext new_context(const SSL_METHOD* method) {
  prepare_library();
  TlsContext context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);  // an idle connection holds no records
  return context;
}

// Without this OpenSSL would ask for an encrypted key's password on the terminal.
int refuse_password(char*, int, int, void*) { return -1; }

StatusOr<Bio> open_pem(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string content, read_file(file, kMaxPemBytes));
  // in PKCS#8's form, and in the old one
  if (content.find("BEGIN ENCRYPTED PRIVATE KEY") != std::string::npos ||
      content.find("4,ENCRYPTED") != std::string::npos) {
    return invalid_argument("the private key in {} is encrypted; give one that is not", file);
  }
  Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || BIO_write(bio.get(), content.data(), static_cast<int>(content.size())) !=
                  static_cast<int>(content.size())) {
    return resource_exhausted("{}: no memory to read it", file);
  }
  return bio;
}

/// The server's own certificate first, then those of the authorities between it and a root.
Status use_certificates(SSL_CTX* context, const std::string& file) {
  ASSIGN_OR_RETURN(const Bio pem, open_pem(file));
  const Certificate own(PEM_read_bio_X509_AUX(pem.get(), nullptr, refuse_password, nullptr));
  if (!own) return invalid_argument("{} holds no certificate in PEM form: {}", file, take_tls_error());
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return invalid_argument("the certificate in {} cannot be used: {}", file, take_tls_error());
  }
  if (X509_cmp_current_time(X509_get0_notAfter(own.get())) < 0)
    log_warning("the certificate in {} has expired", file);
  if (X509_cmp_current_time(X509_get0_notBefore(own.get())) > 0)
    log_warning("the certificate in {} is not valid yet", file);
  while (X509* next = PEM_read_bio_X509(pem.get(), nullptr, refuse_password, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) == 1) continue;
    X509_free(next);
    return invalid_argument("the chain of certificates in {} cannot be used: {}", file, take_tls_error());
  }
  const unsigned long end = ERR_peek_last_error();
  if (ERR_GET_LIB(end) != ERR_LIB_PEM || ERR_GET_REASON(end) != PEM_R_NO_START_LINE) {
    return invalid_argument("the chain of certificates in {} is damaged: {}", file, take_tls_error());
  }
  ERR_clear_error();
  return OkStatus();
}

Status use_key(SSL_CTX* context, const std::string& file, const std::string& certificate_file) {
  ASSIGN_OR_RETURN(const Bio pem, open_pem(file));
  const Key key(PEM_read_bio_PrivateKey(pem.get(), nullptr, refuse_password, nullptr));
  if (!key) return invalid_argument("{} holds no private key in PEM form: {}", file, take_tls_error());
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return invalid_argument("the private key in {} does not belong to the certificate in {}", file,
                            certificate_file);
  }
  return OkStatus();
}

Status ask_for_client_certificates(SSL_CTX* context, const TlsOptions& options) {
  if (options.client_certificates == TlsOptions::ClientCertificates::kNone) return OkStatus();
  if (options.client_ca_file.empty()) {
    return invalid_argument("TLS: clients' certificates cannot be checked without a file of authorities");
  }
  if (!file_exists(options.client_ca_file)) return not_found("{} does not exist", options.client_ca_file);
  if (SSL_CTX_load_verify_locations(context, options.client_ca_file.c_str(), nullptr) != 1) {
    return invalid_argument("{} holds no certificates in PEM form: {}", options.client_ca_file,
                            take_tls_error());
  }
  SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(options.client_ca_file.c_str()));
  const bool required = options.client_certificates == TlsOptions::ClientCertificates::kRequired;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  return OkStatus();
}

// HTTP/1.1 is all that is spoken here; a client that offers only other protocols may still try.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr std::string_view kHttp11 = "http/1.1";
  for (unsigned int at = 0; at < offered_size && at + 1 + offered[at] <= offered_size;
       at += 1u + offered[at]) {
    if (std::string_view(reinterpret_cast<const char*>(offered + at + 1), offered[at]) != kHttp11) continue;
    *chosen = offered + at + 1;
    *chosen_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

StatusOr<TlsContext> make_server_context(const TlsOptions& options) {
  TlsContext context = new_context(TLS_server_method());
  if (!context) return resource_exhausted("TLS: no memory");
  SSL_CTX* raw = context.get();
  SSL_CTX_set_session_cache_mode(raw,
                                 SSL_SESS_CACHE_OFF);  // clients resume by tickets, which need no memory here
  static constexpr std::string_view kName = "hadal";
  SSL_CTX_set_session_id_context(raw, reinterpret_cast<const unsigned char*>(kName.data()), kName.size());
  SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  RETURN_IF_ERROR(use_certificates(raw, options.certificate_file));
  RETURN_IF_ERROR(use_key(raw, options.key_file.empty() ? options.certificate_file : options.key_file,
                          options.certificate_file));
  RETURN_IF_ERROR(ask_for_client_certificates(raw, options));
  return context;
}

/// Changes whenever a file is written or another one takes its place, through links too.
std::string looks_of(const TlsOptions& options) {
  std::string looks;
  for (const std::string* file : {&options.certificate_file, &options.key_file, &options.client_ca_file}) {
    struct stat info {};
    if (!file->empty() && ::stat(file->c_str(), &info) == 0) {
      looks += fmt::format("{} {} {} {}.{}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                           info.st_mtim.tv_nsec);
    }
    looks += '\n';
  }
  return looks;
}

// Where the library was told to look when it was built, and where other systems keep theirs: the binary is
// made to travel.
constexpr std::array kSystemAuthorities = {"/etc/ssl/certs/ca-certificates.crt",
                                           "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                           "/etc/ssl/cert.pem"};

StatusOr<TlsContext> make_client_context(const std::string& ca_file) {
  TlsContext context = new_context(TLS_client_method());
  if (!context) return resource_exhausted("TLS: no memory");
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (!ca_file.empty()) {
    if (!file_exists(ca_file)) return not_found("{} does not exist", ca_file);
    if (SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr) == 1) return context;
    return invalid_argument("{} holds no certificates in PEM form: {}", ca_file, take_tls_error());
  }
  SSL_CTX_set_default_verify_paths(context.get());  // SSL_CERT_FILE and SSL_CERT_DIR are read by it
  if (std::getenv("SSL_CERT_FILE") == nullptr) {
    for (const char* file : kSystemAuthorities) {
      if (file_exists(file) && SSL_CTX_load_verify_locations(context.get(), file, nullptr) == 1) break;
    }
  }
  ERR_clear_error();
  return context;
}

/// Reading the system's authorities takes milliseconds and a load generator has many clients: once a process.
StatusOr<TlsContext> client_context(const std::string& ca_file) {
  if (!ca_file.empty()) return make_client_context(ca_file);
  static Mutex mutex;
  static TlsContext system;
  MutexLock lock(mutex);
  if (!system) {
    ASSIGN_OR_RETURN(system, make_client_context(""));
  }
  return system;
}

}  // namespace

Status check_tls(const TlsOptions& options) {
  if (!options.wanted()) return OkStatus();
  if (options.certificate_file.empty())
    return invalid_argument("TLS: a private key needs a certificate beside it");
  return make_server_context(options).status();
}

StatusOr<std::unique_ptr<TlsCertificates>> TlsCertificates::load(const TlsOptions& options) {
  if (options.certificate_file.empty())
    return invalid_argument("TLS: a private key needs a certificate beside it");
  std::string seen = looks_of(options);
  ASSIGN_OR_RETURN(TlsContext context, make_server_context(options));
  return std::unique_ptr<TlsCertificates>(new TlsCertificates(options, std::move(context), std::move(seen)));
}

TlsCertificates::TlsCertificates(TlsOptions options, TlsContext context, std::string seen)
    : options_(std::move(options)), context_(std::move(context)), seen_(std::move(seen)) {
  if (options_.refresh) watcher_ = std::thread([this] { watch(); });
}

TlsCertificates::~TlsCertificates() {
  if (!watcher_.joinable()) return;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  stopped_changed_.notify_all();
  watcher_.join();
}

std::unique_ptr<TlsSession> TlsCertificates::accept() {
  MutexLock lock(mutex_);
  ssl_st* ssl = SSL_new(context_.get());
  return ssl == nullptr ? nullptr : std::make_unique<TlsSession>(ssl, TlsSession::Side::kServer);
}

// By looking and not by inotify: mounted secrets are exchanged by links, on file systems that tell nobody.
void TlsCertificates::watch() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (!stopped_) stopped_changed_.wait_for(mutex_, options_.refresh_interval);
      if (stopped_) return;
    }
    refresh();
  }
}

void TlsCertificates::refresh() {
  std::string looks = looks_of(options_);  // before reading: a change meanwhile is seen the next time
  if (looks == seen_) return;
  seen_ = std::move(looks);
  StatusOr<TlsContext> fresh = make_server_context(options_);
  if (!fresh.ok()) {
    log_error("TLS: the new certificate is not taken, the old one stays: {}", message_of(fresh.status()));
    return;
  }
  {
    MutexLock lock(mutex_);
    context_ = *std::move(fresh);
  }
  log_info("TLS: {} has changed; new connections get the certificate that it holds now",
           options_.certificate_file);
}

StatusOr<std::unique_ptr<TlsSession>> connect_tls(const std::string& host, const std::string& ca_file) {
  ASSIGN_OR_RETURN(const TlsContext context, client_context(ca_file));
  ssl_st* ssl = SSL_new(context.get());
  if (ssl == nullptr) return resource_exhausted("TLS: no memory");
  // An address is looked for among the certificate's addresses; the name is for the rest.
  X509_VERIFY_PARAM* check = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(check, host.c_str()) != 1) {
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl, host.c_str());
    SSL_set_tlsext_host_name(ssl, host.c_str());
  }
  return std::make_unique<TlsSession>(ssl, TlsSession::Side::kClient);
}

}  // namespace hadal::http
