//! From `MessagePack` to Lua values.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::marker;
use crate::script::cache::Dialect;
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;
use crate::script::extensions::{BYTES_PER_STEP, STEPS_PER_LOOK, arguments, give_way, numbers};

/// Where an unpacking stands. The tables that are open are on the Lua stack, each with what its [`Place`] says.
#[derive(Default)]
pub struct Unpacking {
    /// The next byte.
    at: usize,
    /// Values that are wanted; none: all, and no offset is told.
    limit: Option<i64>,
    values: i64,
    places: Vec<Place>,
    /// Arrays among the places. Redis has the next index of each on its stack.
    arrays: usize,
}

impl Unpacking {
    const PLACES_KEPT_MAX: usize = 256;

    pub fn trim(&mut self) {
        self.places.clear();
        self.places.shrink_to(Self::PLACES_KEPT_MAX);
    }
}

#[derive(Clone, Copy)]
enum Place {
    Array {
        next: i64,
        left: u32,
    },
    MapKey {
        left: u32,
    },
    /// The key is on top of the table.
    MapValue {
        left: u32,
    },
}

pub unsafe extern "C-unwind" fn unpack(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe { begin(lua, 0, 0) }
}

pub unsafe extern "C-unwind" fn unpack_one(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let offset = arguments::integer_or(lua, 2, 0);
        ffi::lua_settop(lua, 1);
        begin(lua, 1, offset)
    }
}

pub unsafe extern "C-unwind" fn unpack_limit(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let limit = arguments::integer(lua, 2);
        let offset = arguments::integer_or(lua, 3, 0);
        ffi::lua_settop(lua, 1);
        begin(lua, limit, offset)
    }
}

unsafe fn begin(lua: *mut ffi::lua_State, limit: i64, offset: i64) -> c_int {
    // SAFETY: as in the callers.
    unsafe {
        let len = arguments::text(lua, 1).len();
        if offset < 0 || limit < 0 {
            // Redis tells the length in place of the limit.
            return ffi::luaL_error(
                lua,
                c"Invalid request to unpack with offset of %d and limit of %d.".as_ptr(),
                offset as c_int,
                len as c_int,
            );
        }
        if offset as usize > len {
            return ffi::luaL_error(
                lua,
                c"Start offset %d greater than input length %d.".as_ptr(),
                offset as c_int,
                len as c_int,
            );
        }
        let unpacking = &mut core_of(lua).extensions.unpacking;
        unpacking.at = offset as usize;
        unpacking.limit = (limit != 0 || offset != 0).then_some(limit);
        unpacking.values = 0;
        unpacking.places.clear();
        unpacking.arrays = 0;
        unpack_on(lua, 0, 0)
    }
}

/// What the data lacks.
enum Fault {
    Missing,
    BadFormat,
    /// More than a stack holds, with Redis's words.
    TooMany(&'static CStr),
}

unsafe extern "C-unwind" fn unpack_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    let mut steps = 0;
    // SAFETY: called by `begin`, or by Lua after a suspension, with the stack that the places describe.
    unsafe {
        let data = string_at(lua, 1);
        loop {
            steps += 1;
            if steps >= STEPS_PER_LOOK {
                steps = 0;
                if let Some(result) = give_way(lua, unpack_on) {
                    return result;
                }
            }
            let unpacking = &mut core_of(lua).extensions.unpacking;
            match unpacking.places.last() {
                None => {
                    let wanted = unpacking.limit.unwrap_or(i64::MAX);
                    if unpacking.at == data.len() || unpacking.values == wanted {
                        return finish(lua, data.len());
                    }
                    unpacking.values += 1;
                }
                Some(Place::Array { left: 0, .. } | Place::MapKey { left: 0 }) => {
                    if let Some(Place::Array { .. }) = unpacking.places.pop() {
                        unpacking.arrays -= 1;
                    }
                    deliver(lua);
                    continue;
                }
                Some(_) => {}
            }
            let before = unpacking.at;
            match push_next(lua, data) {
                Ok(Pushed::Whole) => deliver(lua),
                Ok(Pushed::Opened(place)) => core_of(lua).extensions.unpacking.open(place),
                Err(fault) => return refuse(lua, &fault),
            }
            steps += (core_of(lua).extensions.unpacking.at - before) / BYTES_PER_STEP;
        }
    }
}

#[cold]
unsafe fn refuse(lua: *mut ffi::lua_State, fault: &Fault) -> c_int {
    // SAFETY: as in `unpack_on`; a fault has no destructor.
    unsafe {
        match fault {
            Fault::Missing => ffi::luaL_error(lua, c"Missing bytes in input.".as_ptr()),
            Fault::BadFormat => ffi::luaL_error(lua, c"Bad data format in input.".as_ptr()),
            Fault::TooMany(what) => {
                ffi::luaL_error(lua, c"stack overflow (%s)".as_ptr(), what.as_ptr())
            }
        }
    }
}

unsafe fn finish(lua: *mut ffi::lua_State, len: usize) -> c_int {
    // SAFETY: as in `unpack_on`; every value has left a slot.
    unsafe {
        let unpacking = &core_of(lua).extensions.unpacking;
        let (values, at) = (unpacking.values as c_int, unpacking.at);
        if unpacking.limit.is_none() {
            return values;
        }
        let next = if at == len { -1 } else { at as i64 };
        ffi::lua_pushinteger(lua, next);
        ffi::lua_rotate(lua, 2, 1);
        values + 1
    }
}

impl Unpacking {
    fn open(&mut self, place: Place) {
        self.arrays += usize::from(matches!(place, Place::Array { .. }));
        self.places.push(place);
    }
}

/// Puts the value on top where it belongs: into the table below it, or nowhere if it is a result.
unsafe fn deliver(lua: *mut ffi::lua_State) {
    // SAFETY: as in `unpack_on`; a key that no table takes raises Lua's error.
    unsafe {
        let Some(place) = core_of(lua).extensions.unpacking.places.last_mut() else {
            return;
        };
        match place {
            Place::Array { next, left } => {
                let index = *next;
                *next += 1;
                *left -= 1;
                ffi::lua_rawseti(lua, -2, index);
            }
            Place::MapKey { left } => *place = Place::MapValue { left: *left },
            Place::MapValue { left } => {
                *place = Place::MapKey { left: *left - 1 };
                ffi::lua_rawset(lua, -3);
            }
        }
    }
}

enum Pushed {
    Whole,
    /// An empty table, and what has to come into it.
    Opened(Place),
}

/// The data behind a marker.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Fault::Missing)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Fault::Missing)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_be_bytes(self.array()?))
    }
}

/// What the next bytes stand for.
enum Item<'a> {
    Nil,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a [u8]),
    Array(u32),
    Map(u32),
}

fn read<'a>(input: &mut Input<'a>) -> Result<Item<'a>, Fault> {
    let first = input.u8()?;
    Ok(match first {
        0..=0x7f => Item::Integer(first.into()),
        marker::FIX_NEGATIVE.. => Item::Integer((first as i8).into()),
        marker::FIX_MAP..marker::FIX_ARRAY => Item::Map((first & 0x0f).into()),
        marker::FIX_ARRAY..marker::FIX_STRING => Item::Array((first & 0x0f).into()),
        marker::FIX_STRING..marker::NIL => Item::Text(input.take((first & 0x1f).into())?),
        marker::NIL => Item::Nil,
        marker::FALSE => Item::Boolean(false),
        marker::TRUE => Item::Boolean(true),
        marker::FLOAT_32 => Item::Float(f32::from_be_bytes(input.array()?).into()),
        marker::FLOAT_64 => Item::Float(f64::from_be_bytes(input.array()?)),
        marker::UINT_8 => Item::Integer(input.u8()?.into()),
        marker::UINT_16 => Item::Integer(input.u16()?.into()),
        marker::UINT_32 => Item::Integer(input.u32()?.into()),
        marker::UINT_64 => Item::Unsigned(u64::from_be_bytes(input.array()?)),
        marker::INT_8 => Item::Integer(i8::from_be_bytes(input.array()?).into()),
        marker::INT_16 => Item::Integer(i16::from_be_bytes(input.array()?).into()),
        marker::INT_32 => Item::Integer(i32::from_be_bytes(input.array()?).into()),
        marker::INT_64 => Item::Integer(i64::from_be_bytes(input.array()?)),
        marker::STRING_8 => {
            let len = input.u8()?;
            Item::Text(input.take(len.into())?)
        }
        marker::STRING_16 => {
            let len = input.u16()?;
            Item::Text(input.take(len.into())?)
        }
        marker::STRING_32 => {
            let len = input.u32()?;
            Item::Text(input.take(len as usize)?)
        }
        marker::ARRAY_16 => Item::Array(input.u16()?.into()),
        marker::ARRAY_32 => Item::Array(input.u32()?),
        marker::MAP_16 => Item::Map(input.u16()?.into()),
        marker::MAP_32 => Item::Map(input.u32()?),
        _ => return Err(Fault::BadFormat),
    })
}

/// Pushes the next value. Lengths are only believed as their elements come.
unsafe fn push_next(lua: *mut ffi::lua_State, data: &[u8]) -> Result<Pushed, Fault> {
    const RESULTS: &CStr =
        c"too many return values at once; use unpack_one or unpack_limit instead.";
    // SAFETY: as in `unpack_on`.
    unsafe {
        let core = core_of(lua);
        let dialect = core.dialect;
        let unpacking = &mut core.extensions.unpacking;
        let mut input = Input {
            rest: &data[unpacking.at..],
        };
        if input.rest.is_empty() {
            return Err(Fault::Missing);
        }
        let used = ffi::lua_gettop(lua) as usize + unpacking.arrays;
        if !arguments::has_slots(lua, used, 1) {
            return Err(Fault::TooMany(RESULTS));
        }
        let item = read(&mut input)?;
        unpacking.at = data.len() - input.rest.len();
        match item {
            Item::Nil => ffi::lua_pushnil(lua),
            Item::Boolean(value) => ffi::lua_pushboolean(lua, value.into()),
            Item::Integer(value) => numbers::push_integer(lua, value, dialect),
            Item::Unsigned(value) => match (i64::try_from(value), dialect) {
                (Ok(value), _) => numbers::push_integer(lua, value, dialect),
                (_, Dialect::Redis) => numbers::push_integer(lua, value as i64, dialect),
                (_, Dialect::Aikv) => ffi::lua_pushnumber(lua, value as f64),
            },
            Item::Float(value) => numbers::push_float(lua, value, dialect),
            Item::Text(text) => push_bytes(lua, text),
            Item::Array(len) => {
                if !arguments::has_slots(lua, used + 1, 1) {
                    return Err(Fault::TooMany(c"in function mp_decode_to_lua_array"));
                }
                ffi::lua_createtable(lua, 0, 0);
                return Ok(Pushed::Opened(Place::Array { next: 1, left: len }));
            }
            Item::Map(len) => {
                ffi::lua_createtable(lua, 0, 0);
                return Ok(Pushed::Opened(Place::MapKey { left: len }));
            }
        }
    }
    Ok(Pushed::Whole)
}
