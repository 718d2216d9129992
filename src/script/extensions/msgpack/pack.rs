//! From Lua values to `MessagePack`.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

use std::ffi::c_int;

use mlua::ffi;

use super::marker;
use crate::script::cache::Dialect;
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;
use crate::script::extensions::{BYTES_PER_STEP, STEPS_PER_LOOK, arguments, give_way, numbers};
use crate::script::joiner::Joiner;

/// Tables are packed to this depth.
const NESTING_MAX: usize = 16;

/// Where `pack` stands. The tables that are open are on the Lua stack, each with what its [`Place`] says.
#[derive(Default)]
pub struct Packing {
    /// The next argument.
    argument: c_int,
    arguments: c_int,
    /// The places in the tables that are open.
    places: [Place; NESTING_MAX],
    depth: usize,
    /// Set while the table on top is looked through, with the key on top of it.
    measured: Option<Measure>,
}

#[derive(Clone, Copy, Default)]
enum Place {
    Array {
        next: i64,
        len: i64,
    },
    /// A key is on top of the table, after which to go on.
    #[default]
    MapKey,
    /// A pair is on top of the table, whose value comes next.
    MapValue,
}

#[derive(Clone, Copy, Default)]
struct Measure {
    pairs: i64,
    highest: i64,
    has_other_keys: bool,
}

impl Packing {
    fn place(&mut self) -> Option<&mut Place> {
        let last = self.depth.checked_sub(1)?;
        Some(&mut self.places[last])
    }
}

pub unsafe extern "C-unwind" fn pack(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let count = ffi::lua_gettop(lua);
        if count == 0 {
            return arguments::refuse(lua, 0, c"MessagePack pack needs input.");
        }
        if !arguments::has_slots(lua, count as usize, count as usize) {
            return arguments::refuse(lua, 0, c"Too many arguments for MessagePack pack.");
        }
        let core = core_of(lua);
        core.joined.clear();
        core.extensions.packing = Packing {
            argument: 1,
            arguments: count,
            ..Packing::default()
        };
        pack_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn pack_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    let mut steps = 0;
    // SAFETY: called by `pack`, or by Lua after a suspension, with the stack that the places describe.
    unsafe {
        loop {
            steps += 1;
            if steps >= STEPS_PER_LOOK {
                steps = 0;
                if let Some(result) = give_way(lua, pack_on) {
                    return result;
                }
            }
            let packing = &mut core_of(lua).extensions.packing;
            if packing.measured.is_some() {
                measure_on(lua);
                continue;
            }
            match packing.place() {
                None => {
                    if packing.argument > packing.arguments {
                        break;
                    }
                    ffi::lua_pushvalue(lua, packing.argument);
                    packing.argument += 1;
                }
                Some(Place::Array { next, len }) if *next > *len => {
                    packing.depth -= 1;
                    ffi::lua_settop(lua, -2);
                    continue;
                }
                Some(Place::Array { next, .. }) => {
                    let index = *next;
                    *next += 1;
                    ffi::lua_rawgeti(lua, -1, index);
                }
                Some(place @ Place::MapKey) => {
                    *place = Place::MapValue;
                    if ffi::lua_next(lua, -2) == 0 {
                        packing.depth -= 1;
                        ffi::lua_settop(lua, -2);
                        continue;
                    }
                    ffi::lua_pushvalue(lua, -2);
                }
                Some(place @ Place::MapValue) => *place = Place::MapKey,
            }
            steps += add_value(lua);
        }
        push_bytes(lua, &core_of(lua).joined);
    }
    1
}

/// Packs the value on top and takes it off, or opens it if it is a table. What it cost, in steps.
unsafe fn add_value(lua: *mut ffi::lua_State) -> usize {
    let mut cost = 0;
    // SAFETY: as in `pack_on`; a table needs four slots, and so does raising an error.
    unsafe {
        match ffi::lua_type(lua, -1) {
            ffi::LUA_TSTRING => {
                let text = string_at(lua, -1);
                add_len(lua, text.len(), &STRING);
                Joiner::add(lua, text);
                cost = text.len() / BYTES_PER_STEP;
            }
            ffi::LUA_TBOOLEAN if ffi::lua_toboolean(lua, -1) != 0 => {
                Joiner::add(lua, &[marker::TRUE]);
            }
            ffi::LUA_TBOOLEAN => Joiner::add(lua, &[marker::FALSE]),
            ffi::LUA_TNUMBER => add_number(lua),
            ffi::LUA_TTABLE if core_of(lua).extensions.packing.depth < NESTING_MAX => {
                ffi::luaL_checkstack(lua, 8, c"too many nested tables".as_ptr());
                core_of(lua).extensions.packing.measured = Some(Measure::default());
                ffi::lua_pushnil(lua);
                // A table may be large and hold next to nothing.
                return STEPS_PER_LOOK;
            }
            _ => Joiner::add(lua, &[marker::NIL]),
        }
        ffi::lua_settop(lua, -2);
    }
    cost
}

/// Looks at the next key of the table, or opens it as what it is if there is none.
unsafe fn measure_on(lua: *mut ffi::lua_State) {
    // SAFETY: as in `pack_on`; the key is on top of the table.
    unsafe {
        let has_pair = ffi::lua_next(lua, -2) != 0;
        let key = if has_pair {
            ffi::lua_settop(lua, -2);
            numbers::integer_at(lua, -1)
        } else {
            None
        };
        let packing = &mut core_of(lua).extensions.packing;
        let Some(measure) = &mut packing.measured else {
            return;
        };
        if has_pair {
            measure.pairs += 1;
            match key {
                Some(key @ 1..) => measure.highest = measure.highest.max(key),
                _ => measure.has_other_keys = true,
            }
            return;
        }
        let pairs = measure.pairs;
        let is_array = !measure.has_other_keys && measure.highest == pairs;
        packing.measured = None;
        packing.depth += 1;
        let place = if is_array {
            Place::Array {
                next: 1,
                len: pairs,
            }
        } else {
            ffi::lua_pushnil(lua);
            Place::MapKey
        };
        packing.places[packing.depth - 1] = place;
        add_len(lua, pairs as usize, if is_array { &ARRAY } else { &MAP });
    }
}

/// How lengths of a kind are written.
struct Kind {
    fix: u8,
    fix_max: usize,
    in_8: Option<u8>,
    in_16: u8,
    in_32: u8,
}

const STRING: Kind = Kind {
    fix: marker::FIX_STRING,
    fix_max: 31,
    in_8: Some(marker::STRING_8),
    in_16: marker::STRING_16,
    in_32: marker::STRING_32,
};
const ARRAY: Kind = Kind {
    fix: marker::FIX_ARRAY,
    fix_max: 15,
    in_8: None,
    in_16: marker::ARRAY_16,
    in_32: marker::ARRAY_32,
};
const MAP: Kind = Kind {
    fix: marker::FIX_MAP,
    fix_max: 15,
    in_8: None,
    in_16: marker::MAP_16,
    in_32: marker::MAP_32,
};

/// Longer than 32 bits is nothing that fits into a script's memory.
unsafe fn add_len(lua: *mut ffi::lua_State, len: usize, kind: &Kind) {
    // SAFETY: as in `pack_on`.
    unsafe {
        match (u8::try_from(len), u16::try_from(len), kind.in_8) {
            (Ok(len_8), ..) if len <= kind.fix_max => Joiner::add(lua, &[kind.fix | len_8]),
            (Ok(len_8), _, Some(in_8)) => Joiner::add(lua, &[in_8, len_8]),
            (_, Ok(len_16), _) => add(lua, kind.in_16, len_16.to_be_bytes()),
            _ => add(lua, kind.in_32, (len as u32).to_be_bytes()),
        }
    }
}

/// Adds a marker and what it says is behind it.
unsafe fn add<const LEN: usize>(lua: *mut ffi::lua_State, marker: u8, bytes: [u8; LEN]) {
    let mut all = [marker; 9];
    all[1..=LEN].copy_from_slice(&bytes);
    // SAFETY: as in `pack_on`.
    unsafe { Joiner::add(lua, &all[..=LEN]) };
}

/// A number without a fraction is an integer, of whatever type of Lua it is.
unsafe fn add_number(lua: *mut ffi::lua_State) {
    // SAFETY: as in `pack_on`.
    unsafe {
        if let Some(value) = numbers::integer_at(lua, -1)
            && core_of(lua).dialect == Dialect::Aikv
        {
            return add_integer(lua, value);
        }
        let value = numbers::float_at(lua, -1);
        let integer = numbers::to_i64(value);
        if (integer as f64).to_bits() == value.to_bits() || value == 0.0 {
            return add_integer(lua, integer);
        }
        let short = value as f32;
        if f64::from(short).to_bits() == value.to_bits() && !value.is_nan() {
            add(lua, marker::FLOAT_32, short.to_be_bytes());
        } else {
            add(lua, marker::FLOAT_64, value.to_be_bytes());
        }
    }
}

/// In as few bytes as will do.
unsafe fn add_integer(lua: *mut ffi::lua_State, value: i64) {
    // SAFETY: as in `pack_on`.
    unsafe {
        match value {
            -0x20..=0x7f => Joiner::add(lua, &[value as u8]),
            0x80..=0xff => add(lua, marker::UINT_8, (value as u8).to_be_bytes()),
            0x100..=0xffff => add(lua, marker::UINT_16, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => add(lua, marker::UINT_32, (value as u32).to_be_bytes()),
            0x1_0000_0000.. => add(lua, marker::UINT_64, (value as u64).to_be_bytes()),
            -0x80..=-0x21 => add(lua, marker::INT_8, (value as i8).to_be_bytes()),
            -0x8000..=-0x81 => add(lua, marker::INT_16, (value as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => add(lua, marker::INT_32, (value as i32).to_be_bytes()),
            _ => add(lua, marker::INT_64, value.to_be_bytes()),
        }
    }
}
