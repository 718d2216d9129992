//! Nothing leads out of the sandbox, and nothing stays in it.

use super::*;

/// Each one tries to leave something behind, or to reach what it should not.
const TRICKS: &[&str] = &[
    "_G.x = 1",
    "rawset(_G, 'x', 1)",
    "_ENV.x = 1",
    "_ENV = {x = 1, KEYS = KEYS}; x = 2",
    "local _ENV = {}; x = 1",
    "load('x = 1')()",
    "load('x = 1', 'c', 't', _G)()",
    "load('x = 1', 'c', 't', {})()",
    "setmetatable(_G, {__index = function() return 1 end})",
    "setmetatable(_G, nil)",
    "getmetatable(_G).__index = function() return 1 end",
    "getmetatable(string).__index.x = 1",
    "getmetatable('').__index.x = 1",
    "getmetatable('').__index = {x = 1}",
    "getmetatable('').__add = function() return 1 end",
    "setmetatable('', {})",
    "string.x = 1",
    "string.format = nil",
    "rawset(string, 'x', 1)",
    "table.insert(table, 'x')",
    "table.move({1, 2}, 1, 2, 1, string)",
    "table.remove(redis)",
    "table.sort(redis)",
    "for name, f in pairs(string) do string[name] = nil end",
    "for name in pairs(_G) do _G[name] = nil end",
    "local f, t = pairs(string); t.x = 1",
    "local f, t = pairs(string); rawset(t, 'x', 1)",
    "redis.call = nil",
    "redis.x = 1",
    "KEYS.x = 1; ARGV.x = 1",
    "setmetatable(KEYS, {__index = function() return 1 end})",
    "setmetatable({}, {__gc = function() redis.call('SET', 'gc', 'ran') end}); for i = 1, 1e5 do local t = {} end",
    "local t <close> = setmetatable({}, {__close = function() redis.call('SET', 'closed', '1') end}); error('x')",
    "setmetatable(getmetatable(''), {})",
    "math.randomseed(42); math.random()",
    "math.pi = 3",
    "redis.setresp(3)",
    "next, pairs, ipairs = nil",
    "utf8.char = nil",
    "local function f() return f() end; f = nil; f()",
    "local function f() return 1 + f() end; f()",
    "error(setmetatable({}, {__tostring = function() x = 1 end}))",
    "for k in next, string do string[k] = 1 end",
    "_VERSION = 'x'",
    "_G._G = nil",
    "cjson.encode_max_depth(1); cjson.encode_sparse_array(true, 0); cjson.encode_invalid_numbers(true); cjson.x = 1",
    "cjson.decode_max_depth(1); cjson.encode_number_precision(3); cjson.decode_invalid_numbers(false)",
    "cjson.encode_keep_buffer(false); cjson.new().encode_max_depth(1); cjson.encode = nil; rawset(cmsgpack, 'x', 1)",
    "getmetatable(cjson.decode('[]')).__index = function() return 1 end",
    "rawset(cjson.array_mt, '__index', {x = 1})",
    "setmetatable(cjson.array_mt, {__index = {x = 1}})",
    "table.insert(cjson.array_mt, 1)",
    "bit.x = 1; struct.pack = nil; cmsgpack.unpack = nil",
];

#[test]
fn no_trick_is_seen_by_the_next_script() {
    let probe = "
        local seen = {}
        for _, name in ipairs({'x', 'f', 't'}) do seen[#seen + 1] = tostring(rawget(_G, name)) end
        for _, t in ipairs({string, table, math, utf8, redis, KEYS, ARGV}) do seen[#seen + 1] = tostring(t.x) end
        for name, v in pairs(string) do seen[#seen + 1] = type(v) end
        seen[#seen + 1] = ('%d'):format(7) .. tostring(('').x) .. type(redis.call) .. _VERSION
        seen[#seen + 1] = tostring(math.random(1000000)) .. tostring(math.pi) .. tostring(next({})) .. tostring(_G._G == _G)
        seen[#seen + 1] = tostring(pcall(function() return '' + '' end)) .. type(redis.call('GET', 'no'))
        seen[#seen + 1] = tostring(getmetatable(KEYS)) .. #KEYS .. #ARGV
        seen[#seen + 1] = cjson.encode({{0.123456789}, cjson.decode('[[]]')}) .. type(cmsgpack.unpack) .. type(struct.pack)
        seen[#seen + 1] = tostring(cjson.decode('[]').x) .. tostring(cjson.decode('[nan]')[1] == 1) .. tostring(cmsgpack.x)
        seen[#seen + 1] = tostring(pcall(cjson.encode, {[100] = 1})) .. tostring(pcall(cjson.encode, 1/0)) .. tostring(bit.x)
        seen[#seen + 1] = tostring(cjson.encode_keep_buffer()) .. tostring(cjson.encode_max_depth()) .. tostring(cjson.x)
        return table.concat(seen, ' ')";
    for dialect in [Dialect::Aikv, Dialect::Redis] {
        let mut bench = Bench::new(dialect);
        let clean = bench.value(probe);
        for trick in TRICKS {
            let _ = bench.run(trick);
            assert_eq!(bench.value(probe), clean, "{dialect:?}: {trick}");
            let _ = bench.run(trick);
            assert_eq!(
                bench.value("return pcall(function() return x end)"),
                bench.value("return false == true")
            );
        }
        assert!(bench.host.strings.is_empty(), "code ran after its script");
    }
}

#[test]
fn a_script_that_assigned_env_starts_afresh() {
    let mut bench = Bench::new(Dialect::Aikv);
    let body = "local first = tostring; _ENV = {}; return first(1)";
    assert_eq!(bench.value(body), bulk("1"));
    assert_eq!(bench.value(body), bulk("1"));
}

#[test]
fn what_is_dangerous_is_absent() {
    let names = [
        "io", "debug", "package", "require", "dofile", "loadfile", "print", "module", "setfenv",
        "getfenv", "newproxy", "warn",
    ];
    for (dialect, os) in [(Dialect::Aikv, Some("os")), (Dialect::Redis, None)] {
        let mut bench = Bench::new(dialect);
        for name in names.into_iter().chain(os) {
            let text = format!(
                "ERR user_script:1: Script attempted to access nonexistent global variable '{name}' [@user_script:1.]"
            );
            assert_eq!(bench.error(&format!("return {name}")), text);
        }
        for name in ["collectgarbage", "gcinfo"] {
            let is_there = bench.run(&format!("return {name}")).is_ok();
            assert_eq!(is_there, dialect == Dialect::Redis, "{name} only counts");
        }
        assert_eq!(bench.value("return type(string.dump)"), bulk("nil"));
        assert_eq!(
            bench.value("return type(load('\\27Lua', 'c', 'b'))"),
            bulk("nil")
        );
        assert_eq!(bench.value("return load('return 1 + 1')()"), int(2));
        assert_eq!(
            bench.value("return load(function() return nil end) ~= nil"),
            int(1)
        );
        assert_eq!(
            bench.value("return load('return a', 'c', 't', {a = 5})()"),
            int(5)
        );
    }
}

#[test]
fn libraries_can_be_listed() {
    let mut bench = Bench::new(Dialect::Aikv);
    let body = "local n = {} for name in pairs(utf8) do n[#n + 1] = name end table.sort(n) return table.concat(n, ',')";
    assert_eq!(
        bench.value(body),
        bulk("char,charpattern,codepoint,codes,len,offset")
    );
    assert_eq!(bench.value("return rawget(_G, 'redis') == redis"), int(1));
}

#[test]
fn chance_is_the_seed() {
    let mut bench = Bench::new(Dialect::Aikv);
    let body = "return {math.random(100000), math.random(5, 6), math.random(0)}";
    assert_eq!(bench.value(body), bench.value(body));
    let script = Arc::new(Script::new(b"return math.random(1 << 40)").unwrap());
    let mut with_seed = |seed| {
        let vm = bench.pool.take(Dialect::Aikv).unwrap();
        let mut run = ScriptRun::start(vm, Arc::clone(&script), &[], &[], seed).unwrap();
        let mut out = Recorder::new(Protocol::Resp2);
        assert_eq!(run.resume(&mut bench.host, &mut out), Step::Done);
        out.into_value()
    };
    assert_eq!(with_seed(5), with_seed(5));
    assert_ne!(with_seed(5), with_seed(6));
    assert_eq!(
        bench.error("math.random(2, 1)"),
        "ERR user_script:1: bad argument #2 to 'random' (interval is empty) [@user_script:1.]"
    );
}

/// No path through tables and metatables leads to what looks at other code, or out of the VM.
#[test]
fn nothing_dangerous_can_be_reached() {
    let walk = "
        local dangerous, seen, found, names = {}, {}, {}, 0
        for name in ('execute popen open lines getenv exit rename tmpname loadlib searchpath dofile loadfile require '
            .. 'getinfo getlocal getupvalue setupvalue upvaluejoin sethook gethook getregistry setuservalue traceback '
            .. 'dump setfenv getfenv newproxy module print warn'):gmatch('%S+') do
            dangerous[name] = true
        end
        local function walk(value, path)
            if type(value) ~= 'table' or seen[value] then return end
            seen[value] = true
            for name, inner in pairs(value) do
                names = names + 1
                if dangerous[name] and type(inner) == 'function' then found[#found + 1] = path .. '.' .. tostring(name) end
                walk(inner, path .. '.' .. tostring(name))
            end
            walk(getmetatable(value), path .. '()')
        end
        walk(_G, '_G')
        walk(_ENV, '_ENV')
        walk(getmetatable(''), 'string()')
        walk(getmetatable(redis.call), 'call()')
        walk(KEYS, 'KEYS')
        walk(load('return _ENV')(), 'load')
        return {names > 50, table.concat(found, ' ')}";
    for dialect in [Dialect::Aikv, Dialect::Redis] {
        let mut bench = Bench::new(dialect);
        assert_eq!(bench.value(walk), array([int(1), bulk("")]), "{dialect:?}");
    }
}

/// Each asks for far more memory, stack or results than there may be.
const BOMBS: &[&str] = &[
    "return string.rep('x', 1000000000)",
    "return string.rep('x', 1000000000, 'y')",
    "return string.rep('', 1000000000, 'sep')",
    "return (('x'):rep(100000)):rep(100000)",
    "local s = 'x' while true do s = s .. s end",
    "local t = {} for i = 1, 100 do t[i] = ('x'):rep(1000000) end return table.concat(t)",
    "local t, s = {}, ('x'):rep(100000) for i = 1, 1000 do t[i] = s end return table.concat(t, s)",
    "return string.format('%1000000000d', 1)",
    "return string.format('%.1000000000f', 1)",
    "return string.format(('%99d'):rep(10000000))",
    "return (('x'):rep(100000)):gsub('', ('y'):rep(100000))",
    "return (('x'):rep(100000)):gsub('x', function() return ('y'):rep(100000) end)",
    "return table.unpack({}, 1, 100000000)",
    "return table.unpack({}, -1000000000, 1000000000)",
    "return string.byte(('x'):rep(10000000), 1, -1)",
    "return string.char(table.unpack({}, 1, 1000000000))",
    "return utf8.codepoint(('x'):rep(10000000), 1, -1)",
    "local t = {} while true do t[#t + 1] = t end",
    "local t = {} for i = 1, 1e9 do t[tostring(i)] = {} end",
    "local function f() return 1 + f() end return f()",
    "local function f() local ok, e = pcall(f) if not ok then error(e, 0) end return 1 end return f()",
    "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]",
    "local t = setmetatable({}, {__concat = function(a, b) return a .. b end}) return t .. t",
    "local t = setmetatable({}, {__tostring = function(t) return tostring(t) end}) return tostring(t)",
    "local t = setmetatable({}, {__eq = function(a, b) return a == b end}) return t == setmetatable({}, getmetatable(t))",
    "local t = setmetatable({}, {__call = function(t, ...) return 1 + t(...) end}) return t()",
    "return (('x'):gsub('x', function() local function g() return (('x'):gsub('x', g)) end return g() end))",
    "local function cmp(a, b) table.sort({1, 2, 3}, cmp) return a < b end table.sort({1, 2, 3}, cmp)",
    "return load(('('):rep(100000) .. '1' .. (')'):rep(100000))()",
    "return load(('{'):rep(100000))()",
    "return load(('local a = 1 '):rep(100000))()",
    "return load(function() return 'return 1 ' .. ('x'):rep(1000000) end)()",
];

#[test]
fn bombs_end_with_an_error_and_leave_the_vm_well() {
    // Dialect `redis` cuts the counts of some of them to what is harmless.
    let mut bench = Bench::new(Dialect::Aikv);
    for bomb in BOMBS {
        match bench.run(bomb) {
            Err(Step::Failed(_)) => {}
            other => panic!("{bomb}: {other:?}"),
        }
        // A script that catches the error gets no further.
        let _ = bench.run(&format!(
            "pcall(function() {bomb} end) return pcall(function() {bomb} end)"
        ));
        let _ = bench.run(&format!(
            "return xpcall(function() {bomb} end, function(e) return tostring(e):rep(3) end)"
        ));
        assert_eq!(bench.value("return 1 + 1"), int(2), "{bomb}");
    }
}

/// Errors in error handlers, and in handlers of these, come to an end.
#[test]
fn error_handlers_that_fail_come_to_an_end() {
    let scripts = [
        "local function h(e) error(e) end return xpcall(error, h, 'x')",
        "local function h(e) return h(e) .. 'x' end return xpcall(error, h, 'x')",
        "local function h(e) return xpcall(error, h, e) end return xpcall(error, h, 'x')",
        "local function f() return xpcall(f, f) end return f()",
        "local function f() return pcall(pcall, pcall, f) end return f()",
        "return pcall(error, setmetatable({}, {__tostring = function() error('again') end}))",
        "error(setmetatable({}, {__tostring = function() error('again') end}))",
        "error(setmetatable({}, {__index = function() error('again') end}))",
        "return select(2, pcall(string.rep))",
    ];
    for dialect in [Dialect::Aikv, Dialect::Redis] {
        let mut bench = Bench::new(dialect);
        for script in scripts {
            let _ = bench.run(script);
            assert_eq!(bench.value("return 1 + 1"), int(2), "{dialect:?}: {script}");
        }
    }
}
