-- SPDX-License-Identifier: MIT
-- Tables, strings, closures and a small tree, collected by Lua's collector.
local rounds = tonumber(arg[1]) or 10
local state = 42
local function number(n)
  state = (state * 1103515245 + 12345) % 2147483648
  return state % n
end

local function tree(depth)
  if depth == 0 then return { value = number(100) } end
  return { left = tree(depth - 1), right = tree(depth - 1), name = "n" .. depth }
end

local function weight(t)
  if not t.left then return t.value end
  return weight(t.left) + weight(t.right) + #t.name
end

local sum = 0
for round = 1, rounds do
  local index, lines = {}, {}
  for i = 1, 10000 do
    local parts = {}
    for j = 1, 4 do parts[j] = string.char(97 + number(26)):rep(1 + number(12)) end
    local line = table.concat(parts, " ")
    lines[#lines + 1] = line
    for word in line:gmatch("%a+") do
      index[word] = index[word] or {}
      table.insert(index[word], function() return i + #word end)
    end
  end
  for _, calls in pairs(index) do
    for _, call in ipairs(calls) do sum = sum + call() end
  end
  table.sort(lines)
  local text = table.concat(lines, "\n"):gsub("(%a)%a+", "%1")
  sum = (sum + #text + weight(tree(13))) % 1000000007
  print(round, #text, sum)
end
