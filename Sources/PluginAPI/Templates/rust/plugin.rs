// @ID@: REINFORCE with the mean of a group's rewards as baseline, without a crate. A beginning: change it into your algorithm.
// R. J. Williams, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning, 1992.
// nr_plugin.h is the whole contract.

use std::ffi::{c_char, c_void};
use std::slice::from_raw_parts;

// ---- nr_plugin.h, as far as it is used -----------------------------------------------------------------

#[repr(C)]
pub struct Parameter {
    name: *const c_char,
    help: *const c_char,
    kind: i32,
    minimum: f64,
    maximum: f64,
    preset: f64,
    choices: *const *const c_char,
    variant_presets: *const f64,
}

#[repr(C)]
pub struct Metric {
    name: *const c_char,
    help: *const c_char,
    fold: i32,
}

#[repr(C)]
pub struct Value {
    value: f64,
    weight: f64,
}

#[repr(C)]
pub struct Error {
    struct_size: u32,
    message: [u8; 508],
}

#[repr(C)]
pub struct Rollout {
    struct_size: u32,
    group_count: u32,
    sequence_count: u32,
    reward_count: u32,
    token_count: i64,
    step: u64,
    total_steps: u64,
    seed: u64,
    token_limit: i64,
    group_keys: *const u64,
    group_offsets: *const i64,
    token_offsets: *const i64,
    rewards: *const f32,
    reward_parts: *const f32,
    reward_names: *const *const c_char,
    sequence_flags: *const u8,
    old: *const f32,
    reference: *const f32,
    values: *const f32,
}

#[repr(C)]
pub struct Advantages {
    struct_size: u32,
    advantages: *mut f32,
    returns: *mut f32,
}

#[repr(C)]
pub struct Batch {
    struct_size: u32,
    sequence_count: u32,
    token_count: i64,
    step: u64,
    epoch: u32,
    minibatch: u32,
    update_tokens: i64,
    update_sequences: i64,
    update_groups: i64,
    token_limit: i64,
    token_offsets: *const i64,
    sequence_ids: *const i64,
    current: *const f32,
    old: *const f32,
    reference: *const f32,
    sampler: *const f32,
    entropy: *const f32,
    values: *const f32,
    old_values: *const f32,
    returns: *const f32,
    advantages: *const f32,
}

#[repr(C)]
pub struct Gradients {
    struct_size: u32,
    loss: f64,
    d_current: *mut f32,
    d_entropy: *mut f32,
    d_values: *mut f32,
}

#[repr(C)]
pub struct Plugin {
    magic: u32,
    struct_size: u32,
    abi_major: u32,
    abi_minor: u32,
    state_version: u32,
    parameter_count: u32,
    metric_count: u32,
    id: *const c_char,
    version: *const c_char,
    title: *const c_char,
    reference: *const c_char,
    card: *const c_char,
    parameters: *const Parameter,
    metrics: *const Metric,
    create: unsafe extern "C" fn(*const c_void, *const f64, *mut *mut c_void, *mut Error) -> i32,
    destroy: unsafe extern "C" fn(*mut c_void),
    needs: unsafe extern "C" fn(*const c_void) -> u32,
    select: Option<unsafe extern "C" fn(*mut c_void, *const Rollout, *mut u8, *mut Error) -> i32>,
    advantages: unsafe extern "C" fn(*mut c_void, *const Rollout, *mut Advantages, *mut Value, *mut Error) -> i32,
    loss: unsafe extern "C" fn(*mut c_void, *const Batch, *mut Gradients, *mut Value, *mut Error) -> i32,
    save: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut usize, *mut Error) -> i32>,
    restore: Option<unsafe extern "C" fn(*mut c_void, *const c_void, usize, *mut Error) -> i32>,
    extension: Option<unsafe extern "C" fn(*const c_char) -> *const c_void>,
}

// The table is constant and so is all that it points to.
unsafe impl Sync for Plugin {}
unsafe impl Sync for Parameter {}
unsafe impl Sync for Metric {}

const OK: i32 = 0;
const BAD_ARGUMENT: i32 = 1;
const BAD_PARAMETER: i32 = 2;
const NEEDS_ENTROPY: u32 = 1 << 2;

// ---- parameters and metrics ----------------------------------------------------------------------------

static PARAMETERS: [Parameter; 1] = [Parameter {
    name: c"entropy_weight".as_ptr(),
    help: c"weight of the policy's entropy".as_ptr(),
    kind: 0,
    minimum: 0.0,
    maximum: 10.0,
    preset: 0.0,
    choices: std::ptr::null(),
    variant_presets: std::ptr::null(),
}];

static METRICS: [Metric; 1] =
    [Metric { name: c"advantage_size".as_ptr(), help: c"mean |A| over sequences".as_ptr(), fold: 0 }];

struct Instance {
    entropy_weight: f64,
}

fn refuse(error: &mut Error, status: i32, message: &str) -> i32 {
    let count = message.len().min(error.message.len() - 1);
    error.message[..count].copy_from_slice(&message.as_bytes()[..count]);
    error.message[count] = 0;
    status
}

unsafe extern "C" fn create(_host: *const c_void, values: *const f64, made: *mut *mut c_void, error: *mut Error) -> i32 {
    let entropy_weight = *values;
    if !(PARAMETERS[0].minimum..=PARAMETERS[0].maximum).contains(&entropy_weight) {
        return refuse(&mut *error, BAD_PARAMETER, "entropy_weight");
    }
    *made = Box::into_raw(Box::new(Instance { entropy_weight })).cast();
    OK
}

unsafe extern "C" fn destroy(instance: *mut c_void) {
    if !instance.is_null() {
        drop(Box::from_raw(instance.cast::<Instance>()));
    }
}

unsafe extern "C" fn needs(instance: *const c_void) -> u32 {
    if (*instance.cast::<Instance>()).entropy_weight > 0.0 { NEEDS_ENTROPY } else { 0 }
}

// ---- stage 1, once per rollout: here you may look across sequences and groups ---------------------------

unsafe extern "C" fn advantages(
    _instance: *mut c_void, rollout: *const Rollout, result: *mut Advantages, values: *mut Value, error: *mut Error,
) -> i32 {
    if ((*rollout).struct_size as usize) < size_of::<Rollout>() || ((*result).struct_size as usize) < size_of::<Advantages>() {
        return refuse(&mut *error, BAD_ARGUMENT, "a struct is cut");
    }
    let r = &*rollout;
    let groups = from_raw_parts(r.group_offsets, r.group_count as usize + 1);
    let tokens = from_raw_parts(r.token_offsets, r.sequence_count as usize + 1);
    let rewards = from_raw_parts(r.rewards, r.sequence_count as usize);
    let mut size = 0.0;
    for group in groups.windows(2) {
        let members = group[0] as usize..group[1] as usize;
        let mean = rewards[members.clone()].iter().map(|&reward| reward as f64).sum::<f64>() / members.len() as f64;
        for sequence in members {
            let advantage = rewards[sequence] as f64 - mean;
            for token in tokens[sequence]..tokens[sequence + 1] {
                *(*result).advantages.add(token as usize) = advantage as f32;
            }
            size += advantage.abs();
        }
    }
    if r.sequence_count > 0 {
        let count = r.sequence_count as f64;
        *values = Value { value: size / count, weight: count };
    }
    OK
}

// ---- stage 2, once per micro-batch: divide by the update's totals and never by the micro-batch's --------

unsafe extern "C" fn loss(
    instance: *mut c_void, batch: *const Batch, result: *mut Gradients, _values: *mut Value, error: *mut Error,
) -> i32 {
    if ((*batch).struct_size as usize) < size_of::<Batch>() || ((*result).struct_size as usize) < size_of::<Gradients>() {
        return refuse(&mut *error, BAD_ARGUMENT, "a struct is cut");
    }
    let (b, out) = (&*batch, &mut *result);
    let entropy_weight = (*instance.cast::<Instance>()).entropy_weight;
    let divisor = b.update_tokens as f64;
    let mut sum = 0.0;
    for t in 0..b.token_count as usize {
        let advantage = *b.advantages.add(t) as f64;
        sum -= advantage * *b.current.add(t) as f64 / divisor;
        *out.d_current.add(t) = (-advantage / divisor) as f32;
        if entropy_weight > 0.0 {
            sum -= entropy_weight * *b.entropy.add(t) as f64 / divisor;
            *out.d_entropy.add(t) = (-entropy_weight / divisor) as f32;
        }
    }
    out.loss = sum;
    OK
}

// ---- the table -----------------------------------------------------------------------------------------

static PLUGIN: Plugin = Plugin {
    magic: 0x4E52_4C50,
    struct_size: size_of::<Plugin>() as u32,
    abi_major: 1,
    abi_minor: 0,
    state_version: 0,
    parameter_count: 1,
    metric_count: 1,
    id: c"@ID@".as_ptr(),
    version: c"0.1.0".as_ptr(),
    title: c"REINFORCE with a group baseline".as_ptr(),
    reference: c"Williams 1992".as_ptr(),
    card: c"advantage: A = r - mean of the group's rewards\naggregation: sum over tokens / tokens of the update".as_ptr(),
    parameters: PARAMETERS.as_ptr(),
    metrics: METRICS.as_ptr(),
    create,
    destroy,
    needs,
    select: None,
    advantages,
    loss,
    save: None,
    restore: None,
    extension: None,
};

#[no_mangle]
pub extern "C" fn nr_plugin_entry(_host_major: u32, _host_minor: u32) -> *const Plugin {
    &PLUGIN
}
