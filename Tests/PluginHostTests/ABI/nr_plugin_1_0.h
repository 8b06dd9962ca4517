/* nr_plugin.h - everything a loss plugin and the Nano-Reasoner host know about each other.
   C11, no includes beyond these two. A plugin turns rewards into advantages and log-probabilities into a
   scalar loss and its derivatives; the host owns the model, the sampler, every buffer and every thread.

   Every array is lent for the length of the call. One instance is called by one thread at a time; two instances may be
   called at once, and the entry is called by one thread at a time. Padding inside a struct is never read; layout.c fixes every offset on a 64-bit machine.

   Beyond the draft this version was tried with:
   - nr_parameter.variant_presets: a paper's form of an algorithm has other constants than the default form, and a double
     cannot say "unset". So a preset may depend on the variant; the host resolves it and a plugin only ever sees numbers.
   - nr_plugin.card: the host knows no algorithm, so what a loss means (aggregation, clip, deviation, KL, what differs
     from the paper) has to travel with the plugin to be shown.
   - stopped gradients are declared through `extension`: what a loss stops on purpose, finite differences cannot tell from a mistake.
   - metric folds are defined down to their weights, and save()'s size protocol is spelled out: both could be read two ways. */
#ifndef NR_PLUGIN_H
#define NR_PLUGIN_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define NR_ABI_MAJOR 1u                  /* layout or meaning changed: the host refuses the plugin      */
#define NR_ABI_MINOR 0u                  /* something was appended: readers go by struct_size           */
#define NR_MAGIC     0x4E524C50u         /* 'NRLP': this symbol really is one of ours                   */
#define NR_ENTRY     "nr_plugin_entry"   /* the one exported symbol, of type nr_entry                   */

#if defined(__GNUC__)
#define NR_EXPORT __attribute__((visibility("default")))
#else
#define NR_EXPORT
#endif

typedef int32_t nr_status;               /* plain int32_t: an enum's size is the compiler's business    */
enum { NR_OK = 0, NR_BAD_ARGUMENT = 1, NR_BAD_PARAMETER = 2, NR_NOT_FINITE = 3, NR_BAD_STATE = 4,
       NR_NO_SPACE = 5, NR_INTERNAL = 6 };

typedef struct nr_error { uint32_t struct_size; char message[508]; } nr_error;   /* host's buffer, UTF-8 */

typedef struct nr_host {                 /* outlives every instance made with it                        */
    uint32_t    struct_size;
    void       *context;
    void       (*log)(void *context, int32_t level, const char *message);      /* any thread; 0 debug..3 error */
    const void *(*extension)(void *context, const char *id);                    /* "name/1"; NULL if unknown */
} nr_host;

/* ---- what a plugin says about itself: constant data, valid while the library is loaded ------------- */

enum { NR_REAL = 0, NR_INTEGER = 1, NR_BOOLEAN = 2, NR_CHOICE = 3 };
typedef struct nr_parameter {            /* frozen for this major version                               */
    const char *name;                    /* snake_case; the key in a run's config; never renamed        */
    const char *help;                    /* one sentence, with the paper's symbol                       */
    int32_t     kind;
    double      minimum, maximum, preset;/* finite, minimum <= preset <= maximum                        */
    const char *const *choices;          /* NR_CHOICE: NULL-terminated, value = index; otherwise NULL   */
    const double *variant_presets;       /* NULL, or: parameter 0 is an NR_CHOICE, and this is the preset under each of */
} nr_parameter;                          /*   its choices; the one under parameter 0's own preset equals `preset`       */

enum { NR_MEAN = 0, NR_SUM = 1, NR_MINIMUM = 2, NR_MAXIMUM = 3 };
typedef struct nr_metric { const char *name, *help; int32_t fold; } nr_metric;  /* frozen; fold over calls */
typedef struct nr_value  { double value, weight; } nr_value;    /* one per declared metric, 0 and 0 when a call begins: weight 0
    says nothing; mean = sum of weight * value over sum of weight; sum, minimum, maximum of the values with weight > 0          */

enum {                                   /* what an instance needs, known once it has its parameters    */
    NR_NEEDS_REFERENCE = 1u << 0,        /* reference[]  log-probs under the frozen reference model     */
    NR_NEEDS_CRITIC    = 1u << 1,        /* values[], and a value head trained through d_values[]       */
    NR_NEEDS_ENTROPY   = 1u << 2,        /* entropy[], and d_entropy[]                                  */
    NR_NEEDS_SAMPLER   = 1u << 3,        /* sampler[]    log-probs as the rollout engine computed them  */
    NR_NEEDS_REFILL    = 1u << 4         /* dropped groups are replaced by fresh ones                   */
};
enum { NR_TRUNCATED = 1u << 0, NR_CORRECT = 1u << 1 };          /* bits of sequence_flags[]             */

/* create() refuses with NR_BAD_PARAMETER what a parameter's declaration does not allow (no number, out of range, a fraction where
   it is whole), and combinations that make no sense. Every function refuses with NR_BAD_ARGUMENT a struct that is smaller than
   version 1.0's; a larger one comes from a newer host and is read as far as it is known. */

/* ---- stage 1: once per rollout. Sequences of one group are adjacent; tokens are completion tokens --- */

typedef struct nr_rollout {
    uint32_t struct_size, group_count, sequence_count, reward_count;
    int64_t  token_count;
    uint64_t step, total_steps, seed;    /* seed: the only source of randomness a plugin may use        */
    int64_t  token_limit;                /* longest completion the sampler allows                       */
    const uint64_t *group_keys;          /* [group_count]        the prompt's identity, stable over a run */
    const int64_t *group_offsets;        /* [group_count + 1]    into sequences                         */
    const int64_t *token_offsets;        /* [sequence_count + 1] into tokens                            */
    const float   *rewards;              /* [sequence_count]     weighted total                         */
    const float   *reward_parts;         /* [sequence_count * reward_count]                             */
    const char *const *reward_names;     /* [reward_count]                                              */
    const uint8_t *sequence_flags;       /* [sequence_count]                                            */
    const float *old, *reference, *values;   /* [token_count]; NULL in select(), or when not needed     */
} nr_rollout;

typedef struct nr_advantages {
    uint32_t struct_size;
    float   *advantages;                 /* [token_count]                                               */
    float   *returns;                    /* [token_count], NULL without NR_NEEDS_CRITIC                 */
} nr_advantages;

/* ---- stage 2: once per micro-batch. Whole sequences only; a group may be split --------------------- */

typedef struct nr_batch {
    uint32_t struct_size, sequence_count;
    int64_t  token_count;
    uint64_t step;
    uint32_t epoch, minibatch;
    int64_t  update_tokens, update_sequences, update_groups;    /* of the whole optimiser update: divide by these */
    int64_t  token_limit;
    const int64_t *token_offsets;        /* [sequence_count + 1]                                        */
    const int64_t *sequence_ids;         /* [sequence_count] position in the rollout of advantages()    */
    const float *current, *old, *reference, *sampler, *entropy; /* [token_count]                        */
    const float *values, *old_values, *returns, *advantages;    /* [token_count]                        */
} nr_batch;

typedef struct nr_gradients {            /* the plugin overwrites every element; it never accumulates   */
    uint32_t struct_size;
    double   loss;                       /* this micro-batch's share: shares add up to the update's loss */
    float   *d_current;                  /* [token_count] d loss / d current                            */
    float   *d_entropy, *d_values;       /* [token_count], NULL unless needed                           */
} nr_gradients;

/* ---- the plugin ------------------------------------------------------------------------------------ */

typedef struct nr_plugin {
    uint32_t    magic, struct_size, abi_major, abi_minor, state_version, parameter_count, metric_count;
    const char *id, *version, *title, *reference;            /* "dapo", "1.0.0", one line, paper or URL */
    const char *card;                    /* semantics: lines "topic: text"; "" says nothing; never NULL  */
    const nr_parameter *parameters;
    const nr_metric    *metrics;
    nr_status (*create)(const nr_host *, const double *parameters, void **self, nr_error *);
    void      (*destroy)(void *self);                                           /* NULL is fine         */
    uint32_t  (*needs)(const void *self);                                       /* constant per instance */
    nr_status (*select)(void *self, const nr_rollout *, uint8_t *keep, nr_error *);       /* may be NULL; keep[group_count] */
    nr_status (*advantages)(void *self, const nr_rollout *, nr_advantages *, nr_value *, nr_error *);
    nr_status (*loss)(void *self, const nr_batch *, nr_gradients *, nr_value *, nr_error *);
    nr_status (*save)(void *self, void *bytes, size_t capacity, size_t *size, nr_error *);/* may be NULL; always sets *size; */
                                                        /*   capacity too small: NR_NO_SPACE and nothing written        */
    nr_status (*restore)(void *self, const void *bytes, size_t size, nr_error *);         /* with save   */
    const void *(*extension)(const char *id);                                             /* may be NULL */
} nr_plugin;

/* ---- what nr_plugin.extension(id) may give; NULL for an id it does not know ----------------------- */

#define NR_STOPPED_GRADIENTS "stopped-gradients/1"              /* const nr_stopped_gradients *         */
enum { NR_STOPS_CURRENT = 1u << 0, NR_STOPS_ENTROPY = 1u << 1, NR_STOPS_VALUES = 1u << 2 };
typedef struct nr_stopped_gradients {    /* inputs whose d_ array is on purpose not the derivative of the loss value:  */
    uint32_t struct_size;                /*   the loss holds them, or a function of them, fixed (stop_gradient, detach)*/
    uint32_t (*inputs)(const void *self);/* NR_STOPS_..., constant per instance; `plugin check` compares these with no */
} nr_stopped_gradients;                  /*   finite differences and says so                            */

typedef const nr_plugin *(*nr_entry)(uint32_t host_major, uint32_t host_minor);   /* NULL: will not work with this host */
NR_EXPORT const nr_plugin *nr_plugin_entry(uint32_t host_major, uint32_t host_minor);

#ifdef __cplusplus
}
#endif
#endif
