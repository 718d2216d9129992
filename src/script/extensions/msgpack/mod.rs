//! `cmsgpack`: values as `MessagePack`.
//!
//! A table whose keys are 1 to n is an array, also an empty one, and every other a map. Tables that are nested deeper than
//! 16, and values that have no counterpart, are packed as nil. Strings and byte strings are the same; extensions are not
//! known.

mod pack;
mod unpack;

use std::ffi::CStr;

use mlua::ffi;

pub use pack::Packing;
pub use unpack::Unpacking;

pub const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 4] = [
    (c"pack", pack::pack),
    (c"unpack", unpack::unpack),
    (c"unpack_one", unpack::unpack_one),
    (c"unpack_limit", unpack::unpack_limit),
];

pub const TEXTS: [(&CStr, &str); 4] = [
    (c"_NAME", "cmsgpack"),
    (c"_VERSION", "lua-cmsgpack 0.4.0"),
    (c"_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
    (c"_DESCRIPTION", "MessagePack C implementation for Lua"),
];

/// The first bytes of what is not told by its first byte alone.
mod marker {
    pub const NIL: u8 = 0xc0;
    pub const FALSE: u8 = 0xc2;
    pub const TRUE: u8 = 0xc3;
    pub const FLOAT_32: u8 = 0xca;
    pub const FLOAT_64: u8 = 0xcb;
    pub const UINT_8: u8 = 0xcc;
    pub const UINT_16: u8 = 0xcd;
    pub const UINT_32: u8 = 0xce;
    pub const UINT_64: u8 = 0xcf;
    pub const INT_8: u8 = 0xd0;
    pub const INT_16: u8 = 0xd1;
    pub const INT_32: u8 = 0xd2;
    pub const INT_64: u8 = 0xd3;
    pub const STRING_8: u8 = 0xd9;
    pub const STRING_16: u8 = 0xda;
    pub const STRING_32: u8 = 0xdb;
    pub const ARRAY_16: u8 = 0xdc;
    pub const ARRAY_32: u8 = 0xdd;
    pub const MAP_16: u8 = 0xde;
    pub const MAP_32: u8 = 0xdf;
    /// These carry a length, or a number, in their lowest bits.
    pub const FIX_MAP: u8 = 0x80;
    pub const FIX_ARRAY: u8 = 0x90;
    pub const FIX_STRING: u8 = 0xa0;
    pub const FIX_NEGATIVE: u8 = 0xe0;
}
