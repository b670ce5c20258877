#include "cli/foreign_options_table.h"

#include <array>

namespace hadal {
namespace {

constexpr auto kFlag = ForeignRow::Takes::kFlag;
constexpr auto kValue = ForeignRow::Takes::kValue;
constexpr auto kList = ForeignRow::Takes::kList;
constexpr auto kWarn = ForeignRow::Answer::kWarn;
constexpr auto kRefuse = ForeignRow::Answer::kRefuse;

constexpr const char* kOneDevice = "this version runs a model on one device";
constexpr const char* kNoPlugins = "Python is not run here, so there are no plugins";
constexpr const char* kOwnConfig = "the checkpoint's config.json is taken as it is";
constexpr const char* kNoSpeculation = "speculative decoding is not built in yet";
constexpr const char* kNoTransfer = "transfer of KV cache is not built in yet";
constexpr const char* kNoAdapters = "adapters are not built in yet";
constexpr const char* kTextOnly = "the models served here read text only";
constexpr const char* kMakesText = "the models served here make text";
constexpr const char* kNoDownload = "nothing is downloaded";
constexpr const char* kOwnScheduler = "the scheduler is Hadal's own";
constexpr const char* kOwnKernels = "the kernels are Hadal's own, chosen by the device";
constexpr const char* kNoCompiler = "nothing is compiled at start";
constexpr const char* kNoOffload = "weights are not offloaded";
constexpr const char* kNoTexts = "texts are never logged";

constexpr std::array kForeign = {
    // one device
    ForeignRow{"--tensor-parallel-size,-tp --pipeline-parallel-size,-pp --data-parallel-size,-dp "
               "--expert-parallel-size --decode-context-parallel-size,-dcp "
               "--prefill-context-parallel-size,-pcp --data-parallel-size-local,-dpl --nnodes,-n",
               kValue, "1", kRefuse, kOneDevice},
    ForeignRow{"--node-rank,-r --data-parallel-rank,-dpn --data-parallel-start-rank,-dpr", kValue, "0",
               kRefuse, kOneDevice},
    ForeignRow{"--headless --data-parallel-hybrid-lb,-dph --data-parallel-external-lb,-dpe", kFlag, "",
               kRefuse, kOneDevice},
    ForeignRow{"--enable-expert-parallel,-ep", kFlag, "", kWarn, "with one device every expert is on it"},
    ForeignRow{"--distributed-executor-backend --distributed-timeout-seconds --master-addr --master-port "
               "--data-parallel-address,-dpa --data-parallel-rpc-port,-dpp --data-parallel-backend,-dpb "
               "--all2all-backend --eplb-config --num-redundant-experts --expert-placement-strategy "
               "--dcp-comm-backend --dcp-kv-cache-interleave-size --cp-kv-cache-interleave-size "
               "--dbo-decode-token-threshold --dbo-prefill-token-threshold --ubatch-size",
               kValue, "", kWarn, kOneDevice},
    ForeignRow{"--disable-custom-all-reduce --enable-eplb --enable-dbo --enable-elastic-ep "
               "--enable-ep-weight-filter --worker-use-ray --ray-workers-use-nsight "
               "--disable-nccl-for-dp-synchronization",
               kFlag, "", kWarn, kOneDevice},
    ForeignRow{"--api-server-count,-asc", kValue, "1", kWarn, "one process answers with all its threads"},
    ForeignRow{"--disable-frontend-multiprocessing", kFlag, "", kWarn, "there is one process"},

    // the checkpoint
    ForeignRow{"--tokenizer", kValue, "", kRefuse, "the tokenizer is the checkpoint's own"},
    ForeignRow{"--hf-overrides --hf-config-path --rope-scaling --rope-theta", kValue, "", kRefuse, kOwnConfig},
    ForeignRow{"--config-format", kValue, "auto", kWarn, kOwnConfig},
    ForeignRow{"--model-impl", kValue, "auto", kWarn, "there is one implementation"},
    ForeignRow{"--quantization,-q --quantization-param-path", kValue, "", kWarn,
               "it is read off the checkpoint"},
    ForeignRow{"--allow-deprecated-quantization", kFlag, "", kWarn, "it is read off the checkpoint"},
    ForeignRow{"--tokenizer-mode", kValue, "auto", kWarn, "there is one tokenizer"},
    ForeignRow{"--tokenizer-pool-size --tokenizer-pool-type --tokenizer-pool-extra-config "
               "--renderer-num-workers",
               kValue, "", kWarn, "texts are tokenized by threads of the server"},
    ForeignRow{"--trust-remote-code", kFlag, "", kWarn, "a checkpoint's code is never run"},
    ForeignRow{"--revision --code-revision --tokenizer-revision", kValue, "", kWarn,
               "the snapshot that the local cache has is served"},
    ForeignRow{"--download-dir", kValue, "", kWarn, kNoDownload},
    ForeignRow{"--hf-token --ignore-patterns", kList, "", kWarn, kNoDownload},
    ForeignRow{"--model-loader-extra-config --max-parallel-loading-workers --pt-load-map-location "
               "--safetensors-load-strategy --safetensors-prefetch-num-threads "
               "--safetensors-prefetch-block-size",
               kValue, "", kWarn, "weights are read straight from their files"},
    ForeignRow{"--use-tqdm-on-load", kFlag, "", kWarn, "weights are read straight from their files"},

    // what is not built in
    ForeignRow{"--speculative-config,-sc --speculative-model --num-speculative-tokens --spec-method "
               "--spec-model --spec-tokens",
               kValue, "", kRefuse, kNoSpeculation},
    ForeignRow{"--kv-transfer-config --ec-transfer-config", kValue, "", kRefuse, kNoTransfer},
    ForeignRow{"--kv-events-config", kValue, "", kRefuse, "events of the KV cache are not published yet"},
    ForeignRow{"--enable-lora --enable-prompt-adapter", kFlag, "", kRefuse, kNoAdapters},
    ForeignRow{"--lora-modules --prompt-adapters", kList, "", kRefuse, kNoAdapters},
    ForeignRow{"--max-loras --max-lora-rank --max-cpu-loras --lora-dtype --lora-extra-vocab-size "
               "--long-lora-scaling-factors --lora-target-modules --default-mm-loras "
               "--max-prompt-adapters --max-prompt-adapter-token",
               kValue, "", kWarn, kNoAdapters},
    ForeignRow{"--fully-sharded-loras --enable-lora-bias", kFlag, "", kWarn, kNoAdapters},
    ForeignRow{"--cpu-offload-gb --offload-group-size", kValue, "0", kRefuse, kNoOffload},
    ForeignRow{"--offload-backend", kValue, "auto", kWarn, kNoOffload},
    ForeignRow{"--offload-num-in-group --offload-prefetch-step --offload-params --cpu-offload-params", kValue,
               "", kWarn, kNoOffload},
    ForeignRow{"--kv-offloading-size --kv-offloading-backend", kValue, "", kWarn,
               "the KV cache is in the device's memory alone"},
    ForeignRow{"--guided-decoding-backend --structured-outputs-config", kValue, "", kWarn,
               "constrained output is not built in yet"},
    ForeignRow{"--guided-decoding-disable-fallback --guided-decoding-disable-any-whitespace "
               "--guided-decoding-disable-additional-properties",
               kFlag, "", kWarn, "constrained output is not built in yet"},
    ForeignRow{"--enable-sleep-mode", kFlag, "", kWarn, "the server does not sleep"},
    ForeignRow{"--enable-prompt-embeds", kFlag, "", kWarn, "requests with prompt_embeds are refused"},
    ForeignRow{"--enable-return-routed-experts", kFlag, "", kWarn, "answers do not name experts"},
    ForeignRow{"--grpc --tokens-only", kFlag, "", kRefuse, "the server speaks HTTP"},
    ForeignRow{"--tool-server", kValue, "", kRefuse, "tools are the client's to run"},
    ForeignRow{"--logits-processors --middleware", kList, "", kRefuse, kNoPlugins},
    ForeignRow{"--tool-parser-plugin --reasoning-parser-plugin --io-processor-plugin --scheduler-cls "
               "--worker-extension-cls --logits-processor-pattern",
               kValue, "", kRefuse, kNoPlugins},
    ForeignRow{"--worker-cls", kValue, "auto", kRefuse, kNoPlugins},

    // other kinds of models
    ForeignRow{"--task --runner", kValue, "generate", kRefuse, kMakesText},
    ForeignRow{"--convert", kValue, "auto", kRefuse, kMakesText},
    ForeignRow{"--pooler-config --override-pooler-config", kValue, "", kRefuse, kMakesText},
    ForeignRow{"--limit-mm-per-prompt --media-io-kwargs --mm-processor-kwargs --mm-processor-cache-gb "
               "--mm-processor-cache-type --mm-shm-cache-max-object-size-mb --mm-encoder-tp-mode "
               "--mm-encoder-attn-backend --video-pruning-rate --allowed-local-media-path",
               kValue, "", kWarn, kTextOnly},
    ForeignRow{"--allowed-media-domains", kList, "", kWarn, kTextOnly},
    ForeignRow{"--enable-mm-embeds --interleave-mm-strings --skip-mm-profiling --mm-encoder-only "
               "--language-model-only --disable-mm-preprocessor-cache --disable-chunked-mm-input",
               kFlag, "", kWarn, kTextOnly},
    ForeignRow{"--mamba-block-size --mamba-cache-dtype --mamba-ssm-cache-dtype --mamba-cache-mode", kValue, "",
               kWarn, "the models served here are transformers"},

    // steps and their scheduling
    ForeignRow{"--enable-chunked-prefill", kFlag, "", kWarn, "prompts are always computed in pieces"},
    ForeignRow{"--async-scheduling", kFlag, "", kWarn, "the device decides how many steps are in flight"},
    ForeignRow{"--max-num-partial-prefills --max-long-partial-prefills", kValue, "", kWarn,
               "as many as a step has room for"},
    ForeignRow{"--prefix-caching-hash-algo --prefix-match-unit", kValue, "", kWarn,
               "there is one, keyed at each start"},
    ForeignRow{"--swap-space --preemption-mode", kValue, "", kWarn,
               "preempted sequences are computed again"},
    ForeignRow{"--num-scheduler-steps --num-lookahead-slots --scheduler-delay-factor "
               "--max-num-scheduled-tokens --prefill-schedule-interval --watermark",
               kValue, "", kWarn, kOwnScheduler},
    ForeignRow{"--use-v2-block-manager --multi-step-stream-outputs --disable-async-output-proc "
               "--disable-hybrid-kv-cache-manager --scheduler-reserve-full-isl --disable-sliding-window",
               kFlag, "", kWarn, kOwnScheduler},
    ForeignRow{"--calculate-kv-scales --kv-sharing-fast-prefill", kFlag, "", kWarn,
               "the cache needs no scales, and layers do not share it"},
    ForeignRow{"--kv-cache-dtype-skip-layers", kList, "", kRefuse, "all layers' caches have one dtype"},
    ForeignRow{"--compilation-config,-cc --optimization-level,-O --performance-mode", kValue, "", kWarn,
               kNoCompiler},
    ForeignRow{"--cudagraph-capture-sizes --cuda-graph-sizes", kList, "", kWarn,
               "the sizes follow from --max-cudagraph-capture-size"},
    ForeignRow{"--max-seq-len-to-capture", kValue, "", kWarn, "graphs have no such limit"},
    ForeignRow{"--attention-backend --attention-config,-ac --kernel-config --moe-backend "
               "--override-attention-dtype",
               kValue, "", kWarn, kOwnKernels},
    ForeignRow{"--disable-cascade-attn --use-fp64-gumbel --enable-cumem-allocator", kFlag, "", kWarn,
               kOwnKernels},
    ForeignRow{"--numa-bind", kFlag, "", kWarn, "the system places the threads; see --threads"},
    ForeignRow{"--numa-bind-nodes --numa-bind-cpus", kList, "", kWarn,
               "the system places the threads; see --threads"},
    ForeignRow{"--seed", kValue, "0", kWarn, "a request has its own seed, or one is drawn and reported"},
    ForeignRow{"--max-logprobs", kValue, "20", kWarn, "at most 20 are told"},
    ForeignRow{"--logprobs-mode", kValue, "raw_logprobs", kRefuse,
               "log-probabilities are those before sampling's changes"},

    // HTTP
    ForeignRow{"--response-role", kValue, "assistant", kRefuse, "answers are the assistant's"},
    ForeignRow{"--chat-template-content-format", kValue, "auto", kWarn, "templates get a message's text"},
    ForeignRow{"--exclude-tools-when-tool-choice-none", kFlag, "", kWarn, "they are always left out then"},
    ForeignRow{"--enable-reasoning", kFlag, "", kWarn, "see --reasoning-parser"},
    ForeignRow{"--reasoning-config", kValue, "", kWarn, "the end of thinking is the checkpoint's own"},
    ForeignRow{"--enable-request-id-headers", kFlag, "", kWarn, "every answer has X-Request-Id"},
    ForeignRow{"--enable-prompt-tokens-details", kFlag, "", kWarn, "usage always has them"},
    ForeignRow{"--enable-server-load-tracking", kFlag, "", kWarn, "/load always counts"},
    ForeignRow{"--enable-per-request-metrics", kFlag, "", kWarn, "figures are in /metrics"},
    ForeignRow{"--enable-tokenizer-info-endpoint", kFlag, "", kWarn, "/tokenizer_info is always there"},
    ForeignRow{"--fingerprint-mode --fingerprint-value", kValue, "", kWarn,
               "system_fingerprint is hadal-VERSION-HASH"},
    ForeignRow{"--allow-credentials", kFlag, "", kWarn, "web pages send their key in a header"},
    ForeignRow{"--allowed-methods --allowed-headers", kList, "\"*\"", kWarn,
               "what a preflight asks for is allowed to --allowed-origins"},
    ForeignRow{"--root-path", kValue, "", kWarn, "a proxy that adds a path takes it off again"},
    ForeignRow{"--disable-fastapi-docs --enable-offline-docs", kFlag, "", kWarn,
               "there are no such pages; /openapi.json stays"},
    ForeignRow{"--h11-max-incomplete-event-size --h11-max-header-count", kValue, "", kWarn,
               "a header may have 64 KiB and 256 fields"},
    ForeignRow{"--ssl-ciphers", kValue, "", kRefuse, "TLS 1.2 and 1.3 have the library's strong ciphers"},
    ForeignRow{"--uvicorn-log-level", kValue, "", kWarn, "this is no uvicorn"},

    // logs and traces
    ForeignRow{"--disable-log-requests", kFlag, "", kWarn,
               "requests are logged with --enable-log-requests alone"},
    ForeignRow{"--enable-log-outputs --enable-log-deltas", kFlag, "", kWarn, kNoTexts},
    ForeignRow{"--max-log-len", kValue, "", kWarn, kNoTexts},
    ForeignRow{"--log-config-file", kValue, "", kWarn, "see --log-format"},
    ForeignRow{"--log-error-stack --aggregate-engine-logging --enable-logging-iteration-details "
               "--enable-layerwise-nvtx-tracing --cudagraph-metrics --enable-mfu-metrics",
               kFlag, "", kWarn, "logs and figures are those of docs/logs.md and docs/metrics.md"},
    ForeignRow{"--kv-cache-metrics-sample --show-hidden-metrics-for-version", kValue, "", kWarn,
               "figures are those of docs/metrics.md"},
    ForeignRow{"--otlp-traces-endpoint", kValue, "", kWarn, "traces are not sent yet"},
    ForeignRow{"--collect-detailed-traces", kList, "", kWarn, "traces are not sent yet"},
};

}  // namespace

std::span<const ForeignRow> foreign_rows() { return kForeign; }

}  // namespace hadal
