//! The library functions that are ours give what Lua's own give.

use std::fmt::Write;

use mlua::Lua;
use proptest::prelude::*;

use super::*;

/// Calls what ARGV names and writes down all that comes of it.
const CALL: &str = r"
    local function show(v)
        if type(v) == 'table' then
            local t = {}
            for i = 1, #v do t[i] = show(v[i]) end
            return '{' .. table.concat(t, ',') .. '}'
        end
        return math.type(v) and (math.type(v) .. tostring(v)) or type(v) .. ':' .. tostring(v)
    end
    local function run(name, text, pattern, extra)
        local n = tonumber(extra)
        if name == 'find' then return text:find(pattern, n) end
        if name == 'plain' then return text:find(pattern, n, true) end
        if name == 'match' then return text:match(pattern, n) end
        if name == 'gmatch' then
            local all = {}
            for a, b, c in text:gmatch(pattern, n) do all[#all + 1] = {a, b, c} end
            return all
        end
        if name == 'function' then
            return text:gsub(pattern, function(a, b)
                if a == 'a' then return nil elseif b == 'b' then return false end
                return show({a, b, (('xa'):gsub('a', '%0%0'))})
            end, n)
        end
        if name == 'table' then return text:gsub(pattern, {a = 'A', b = 7, ab = true, [1] = 'one', [2] = false}, n) end
        if name == 'index' then
            local t = setmetatable({}, {__index = function(_, k) return ('<k>'):gsub('k', tostring(k)) end})
            return text:gsub(pattern, t, n)
        end
        return text:gsub(pattern, name, n)
    end
    local result = table.pack(pcall(run, ARGV[1], ARGV[2], ARGV[3], ARGV[4]))
    for i = 1, result.n do result[i] = show(result[i]) end
    return table.concat(result, ' ')
";

/// What `body` returns in a plain state of the stock library.
fn stock(lua: &Lua, body: &str, argv: &[&[u8]]) -> Vec<u8> {
    let list = lua.create_table().unwrap();
    for arg in argv {
        list.push(lua.create_string(arg).unwrap()).unwrap();
    }
    lua.globals().set("ARGV", list).unwrap();
    let chunk = lua.load(body).set_name("@user_script");
    chunk.eval::<mlua::LuaString>().unwrap().as_bytes().to_vec()
}

fn ours(bench: &mut Bench, body: &str, argv: &[&[u8]]) -> Vec<u8> {
    match bench.run_with(body, &[], argv) {
        Ok(Value::Bulk(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![
            6 => Just(b'a'), 4 => Just(b'b'), 1 => Just(b' '), 1 => Just(b'('), 1 => Just(b')'), 1 => Just(b'7'),
            1 => Just(b'Z'), 1 => Just(b'_'), 1 => Just(b'%'), 1 => Just(0), 1 => any::<u8>(),
        ],
        0..25,
    )
}

fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let item = prop_oneof![
        8 => prop::sample::select(vec![
            "a", "b", ".", "%a", "%w", "%s", "%d", "%p", "%A", "%W", "%S", "%x", "%l", "%u", "%c", "%g", "%z", "%Z",
            "[ab]", "[^a]", "[a-c_]", "[%w_]", "[^%s]", "[]]", "[^]]", "[a-]", "[%]x]", "[%a-z]", "%%", "%.", "$", "^",
        ]),
        3 => prop::sample::select(vec!["(", ")", "()", "(a)", "(%w*)", "%1", "%2", "%b()", "%bab", "%f[%w]", "%f[^a]"]),
        1 => prop::sample::select(vec!["[", "[^", "[a", "%", "%f", "%b", "%bx", "%0", "%9", "]", "-", "*", "\0", "[%", "[]"]),
    ];
    let suffix =
        prop_oneof![5 => Just(""), 1 => Just("*"), 1 => Just("+"), 1 => Just("-"), 1 => Just("?")];
    let items = prop::collection::vec((item, suffix), 0..7);
    (any::<bool>(), items).prop_map(|(anchor, items)| {
        let mut pattern = String::from(if anchor { "^" } else { "" });
        for (item, suffix) in items {
            write!(pattern, "{item}{suffix}").unwrap();
        }
        pattern.into_bytes()
    })
}

fn operation() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "find", "plain", "match", "gmatch", "function", "table", "index", "", "x", "<%0>", "%1",
        "%1%2", "%%", "%x", "%", "a%",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn patterns_do_what_lua_does(
        cases in prop::collection::vec((operation(), text(), pattern(), -3_i64..28), 20)
    ) {
        thread_local! {
            static BOTH: std::cell::RefCell<(Bench, Lua)> =
                std::cell::RefCell::new((Bench::new(Dialect::Aikv), Lua::new()));
        }
        BOTH.with_borrow_mut(|(bench, lua)| {
            for (operation, text, pattern, number) in &cases {
                let number = number.to_string();
                let extra: &[u8] = if number == "0" { b"" } else { number.as_bytes() };
                let argv: [&[u8]; 4] = [operation.as_bytes(), text, pattern, extra];
                let expected = stock(lua, CALL, &argv);
                let got = ours(bench, CALL, &argv);
                prop_assert_eq!(
                    String::from_utf8_lossy(&got), String::from_utf8_lossy(&expected),
                    "{:?} {:?} {:?} {:?}", operation, text.escape_ascii().to_string(), pattern.escape_ascii().to_string(), extra
                );
            }
            Ok(())
        })?;
    }
}

/// Each of these is a script that returns a string.
const SAME: &[&str] = &[
    "return tostring(('x'):rep(3)) .. ('ab'):rep(2, '-') .. ('x'):rep(0) .. ('x'):rep(-1) .. ('x'):rep(1, 'y')",
    "return (('abc'):rep(1000, ', '))",
    "return tostring(select(2, pcall(string.rep, 'xy', 1 << 62)))",
    "return tostring(select(2, pcall(string.rep, 'x', 1.5)))",
    "return tostring(select(2, pcall(string.rep)))",
    "return tostring(select(2, pcall(string.find, {}, 'a')))",
    "return tostring(select(2, pcall(string.gsub, 'a', 'a')))",
    "return tostring(select(2, pcall(string.gsub, 'a', 'a', true)))",
    "return tostring(select(2, pcall(string.gsub, 'a', 'a', 'b', {})))",
    "return tostring(select(2, pcall(string.gsub, 'a', 'a', function() return {} end)))",
    "return tostring(select(2, pcall(string.gsub, 'a', 'a', function() error('x', 0) end)))",
    "return tostring(select(2, pcall(function() return ('x'):find() end)))",
    "return tostring(select(2, pcall(string.find, 'a', ('('):rep(40))))",
    "return tostring(select(2, pcall(string.find, ('a'):rep(300), ('a?'):rep(250))))",
    "return tostring(pcall(string.find, ('a'):rep(300), ('a?'):rep(199)))",
    "return tostring(string.rep(12, 2)) .. string.gsub(123, 2, 4) .. tostring(string.find(123, 3))",
    "local r = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do r[#r + 1] = k .. v end return table.concat(r)",
    "local f = ('abc'):gmatch('.') return f() .. f() .. f() .. tostring((f())) .. tostring((f()))",
    "return (('hello world'):gsub('o', function(c) return ('<%s>'):format((c:gsub('o', '0'))) end))",
    "return (('abc'):gsub('%w', function(c) pcall(string.gsub, 'x', 'x', function() error('y') end) return c .. c end))",
    "return (('x'):rep(5000):gsub('x', function() return ('y'):rep(3) end))",
    "return table.concat({1, 2.5, 'x'}, ', ')",
    "return table.concat({}, 'x') .. table.concat({1, 2, 3}, '-', 2) .. table.concat({1, 2, 3}, '-', 2, 2) .. table.concat({1}, 'x', 3)",
    "return tostring(select(2, pcall(table.concat, {1, {}, 3})))",
    "return tostring(select(2, pcall(table.concat, {1}, ',', 1, 3)))",
    "return tostring(select(2, pcall(table.concat, 5)))",
    "return tostring(select(2, pcall(table.concat, {}, {})))",
    "return table.concat(setmetatable({}, {__len = function() return 3 end, __index = function(_, k) return ('<k>'):gsub('k', k) end}), ' ')",
    "local t = {1, 2, 3} table.insert(t, 4) table.insert(t, 1, 0) table.insert(t, 6, 9) return table.concat(t, ' ')",
    "return tostring(select(2, pcall(table.insert, {1, 2, 3}, 5, 0)))",
    "return tostring(select(2, pcall(table.insert, {1, 2, 3}, 0, 0)))",
    "return tostring(select(2, pcall(table.insert, {1, 2, 3})))",
    "return tostring(select(2, pcall(table.insert, {1, 2, 3}, 1, 2, 3)))",
    "return tostring(select(2, pcall(table.insert, nil, 1)))",
    "local t = {1, 2, 3} local a, b = table.remove(t, 1), table.remove(t) return a .. b .. #t .. tostring(table.remove({})) .. tostring(table.remove(t, 2))",
    "return tostring(select(2, pcall(table.remove, {1, 2, 3}, 5)))",
    "return tostring(table.remove({n = 1}, 0)) .. tostring(table.remove({1, 2, 3}, 4))",
    "return table.concat(table.move({1, 2, 3}, 1, 3, 2), ' ') .. table.concat(table.move({1, 2, 3}, 2, 3, 1), ' ')",
    "return table.concat(table.move({1, 2, 3}, 1, 3, 3, {7, 8}), ' ') .. #table.move({1, 2, 3}, 1, 0, 5)",
    "return tostring(select(2, pcall(table.move, {}, 0, math.maxinteger, 1)))",
    "return tostring(select(2, pcall(table.move, {}, 1, math.maxinteger, 2)))",
    "return tostring(select(2, pcall(table.move, {}, 1, 2, 3, 4)))",
    "return tostring(select(2, pcall(table.move, 1, 1, 2, 3)))",
    "local t = {5, 3, 1, 4, 2} table.sort(t) return table.concat(t, ' ')",
    "local t = {'b', 'a', 'c', ''} table.sort(t, function(a, b) return a > b end) return table.concat(t, ' ')",
    "local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1009 end table.sort(t) return table.concat(t, ' ')",
    "local t = {} for i = 1, 777 do t[i] = (i * 7919) % 101 end table.sort(t, function(a, b) return a < b end) return table.concat(t, ' ')",
    "local t = {3, -1, math.mininteger, 7, math.maxinteger, 0} table.sort(t) return table.concat(t, ' ')",
    "local t = {2.5, -0.5, 1e308, -math.huge, math.huge, 1.0} table.sort(t) return table.concat(t, ' ')",
    "local t = {2, 1.5, 3, -0.5, 2.5} table.sort(t) return table.concat(t, ' ')",
    "local s = 'abcabd' return s:find('abd', 1, true) .. ' ' .. tostring(s:find('abe', 1, true)) .. s:find('', 4, true) .. s:find('d', 6, true)",
    "local s = ('ab'):rep(100) .. 'c' return s:find('bc', 1, true) .. tostring(s:find('cc', 1, true))",
    "return tostring(pcall(table.sort, {1, 2, 'x'}))",
    "return tostring(select(2, pcall(table.sort, {1, 2}, 5)))",
    "return tostring(select(2, pcall(table.sort, {1, 2}, function() error('in order', 0) end)))",
    "return tostring(select(2, pcall(table.sort, setmetatable({}, {__len = function() return 1 << 40 end}))))",
    "local t = setmetatable({}, {__lt = function(a, b) return a.n < b.n end}) local m = getmetatable(t) local l = {} for i = 1, 50 do l[i] = setmetatable({n = (i * 37) % 53}, m) end table.sort(l) local r = {} for i, v in ipairs(l) do r[i] = v.n end return table.concat(r, ' ')",
    "return select('#', table.sort({})) .. '' .. select('#', table.sort({2, 1}))",
];

#[test]
fn library_functions_do_what_lua_does() {
    let mut bench = Bench::new(Dialect::Aikv);
    let lua = Lua::new();
    for body in SAME {
        let expected = stock(&lua, body, &[]);
        let got = ours(&mut bench, body, &[]);
        assert_eq!(
            String::from_utf8_lossy(&got),
            String::from_utf8_lossy(&expected),
            "{body}"
        );
    }
}

/// The values are those that redis-server 7.0.15 gave.
#[test]
fn dialect_redis_has_the_rules_of_lua_5_1() {
    let mut bench = Bench::new(Dialect::Redis);
    for (body, expected) in [
        (
            "return table.concat({('abc'):gsub('%w*', 'x')}, ' ')",
            "xx 2",
        ),
        (
            "return table.concat({('hello world'):gsub('o*', 'x')}, ' ')",
            "xhxexlxlxx xwxxrxlxdx 12",
        ),
        (
            "return table.concat({('abc d'):gsub('%w*', '<%0>')}, ' ')",
            "<abc><> <d><> 4",
        ),
        ("return (('a'):gsub('a', '%x%%%'))", "x%\0"),
        ("return table.concat({('abc'):find('', 10)}, ' ')", "4 3"),
        (
            "local n = {} for a in ('ab c'):gmatch('%a*') do n[#n + 1] = '<' .. a .. '>' end return table.concat(n)",
            "<ab><><c><>",
        ),
        (
            "local n = {} for a in string.gfind('a b', '%a') do n[#n + 1] = a end return table.concat(n)",
            "ab",
        ),
    ] {
        assert_eq!(bench.value(body), bulk(expected), "{body}");
    }
}

/// Sorting keeps the order of what is equal, at any length.
#[test]
fn sort_is_stable() {
    let mut bench = Bench::new(Dialect::Aikv);
    let body = "
        for n = 0, 70 do
            local t = {}
            for i = 1, n do t[i] = {key = (i * 31) % 7, place = i} end
            table.sort(t, function(a, b) return a.key < b.key end)
            for i = 2, n do
                local a, b = t[i - 1], t[i]
                if a.key > b.key or a.key == b.key and a.place > b.place then return 'wrong at ' .. n end
            end
            if #t ~= n then return 'lost at ' .. n end
        end
        return 'right'";
    assert_eq!(bench.value(body), bulk("right"));
}
