// @ID@: REINFORCE with the mean of a group's rewards as baseline, without a crate. A beginning: change it into your algorithm.
// R. J. Williams, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning, 1992.
// nr_plugin.h is the whole contract.

mod nr_plugin;

use nr_plugin::*;
use std::ffi::c_void;
use std::slice::from_raw_parts;

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
