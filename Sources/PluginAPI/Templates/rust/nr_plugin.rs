// nr_plugin.h for Rust, as far as version 1.0 goes and as these plugins use it. The header says what each field means.

use std::ffi::{c_char, c_void};

#[repr(C)]
pub struct Parameter {
    pub name: *const c_char,
    pub help: *const c_char,
    pub kind: i32,
    pub minimum: f64,
    pub maximum: f64,
    pub preset: f64,
    pub choices: *const *const c_char,
    pub variant_presets: *const f64,
}

#[repr(C)]
pub struct Metric {
    pub name: *const c_char,
    pub help: *const c_char,
    pub fold: i32,
}

#[repr(C)]
pub struct Value {
    pub value: f64,
    pub weight: f64,
}

#[repr(C)]
pub struct Error {
    pub struct_size: u32,
    pub message: [u8; 508],
}

#[repr(C)]
pub struct Rollout {
    pub struct_size: u32,
    pub group_count: u32,
    pub sequence_count: u32,
    pub reward_count: u32,
    pub token_count: i64,
    pub step: u64,
    pub total_steps: u64,
    pub seed: u64,
    pub token_limit: i64,
    pub group_keys: *const u64,
    pub group_offsets: *const i64,
    pub token_offsets: *const i64,
    pub rewards: *const f32,
    pub reward_parts: *const f32,
    pub reward_names: *const *const c_char,
    pub sequence_flags: *const u8,
    pub old: *const f32,
    pub reference: *const f32,
    pub values: *const f32,
}

#[repr(C)]
pub struct Advantages {
    pub struct_size: u32,
    pub advantages: *mut f32,
    pub returns: *mut f32,
}

#[repr(C)]
pub struct Batch {
    pub struct_size: u32,
    pub sequence_count: u32,
    pub token_count: i64,
    pub step: u64,
    pub epoch: u32,
    pub minibatch: u32,
    pub update_tokens: i64,
    pub update_sequences: i64,
    pub update_groups: i64,
    pub token_limit: i64,
    pub token_offsets: *const i64,
    pub sequence_ids: *const i64,
    pub current: *const f32,
    pub old: *const f32,
    pub reference: *const f32,
    pub sampler: *const f32,
    pub entropy: *const f32,
    pub values: *const f32,
    pub old_values: *const f32,
    pub returns: *const f32,
    pub advantages: *const f32,
}

#[repr(C)]
pub struct Gradients {
    pub struct_size: u32,
    pub loss: f64,
    pub d_current: *mut f32,
    pub d_entropy: *mut f32,
    pub d_values: *mut f32,
}

#[repr(C)]
pub struct Plugin {
    pub magic: u32,
    pub struct_size: u32,
    pub abi_major: u32,
    pub abi_minor: u32,
    pub state_version: u32,
    pub parameter_count: u32,
    pub metric_count: u32,
    pub id: *const c_char,
    pub version: *const c_char,
    pub title: *const c_char,
    pub reference: *const c_char,
    pub card: *const c_char,
    pub parameters: *const Parameter,
    pub metrics: *const Metric,
    pub create: unsafe extern "C" fn(*const c_void, *const f64, *mut *mut c_void, *mut Error) -> i32,
    pub destroy: unsafe extern "C" fn(*mut c_void),
    pub needs: unsafe extern "C" fn(*const c_void) -> u32,
    pub select: Option<unsafe extern "C" fn(*mut c_void, *const Rollout, *mut u8, *mut Error) -> i32>,
    pub advantages: unsafe extern "C" fn(*mut c_void, *const Rollout, *mut Advantages, *mut Value, *mut Error) -> i32,
    pub loss: unsafe extern "C" fn(*mut c_void, *const Batch, *mut Gradients, *mut Value, *mut Error) -> i32,
    pub save: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut usize, *mut Error) -> i32>,
    pub restore: Option<unsafe extern "C" fn(*mut c_void, *const c_void, usize, *mut Error) -> i32>,
    pub extension: Option<unsafe extern "C" fn(*const c_char) -> *const c_void>,
}

// The table is constant and so is all that it points to.
unsafe impl Sync for Plugin {}
unsafe impl Sync for Parameter {}
unsafe impl Sync for Metric {}

pub const OK: i32 = 0;
pub const BAD_ARGUMENT: i32 = 1;
pub const BAD_PARAMETER: i32 = 2;
pub const NEEDS_ENTROPY: u32 = 1 << 2;
