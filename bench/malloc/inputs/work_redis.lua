-- SPDX-License-Identifier: MIT
-- Runs in redis-server: data of every type, the same each time, some of it
-- changed and deleted again.
local words = {}
for i = 1, 200 do words[i] = string.rep(string.char(97 + i % 26), 1 + i * 7 % 90) end
for i = 1, tonumber(ARGV[1]) do
  local word = words[1 + i * 31 % 200]
  local key = 'k' .. i % 5003
  redis.call('set', 's:' .. key, word .. i)
  redis.call('append', 's:' .. key, word)
  redis.call('hset', 'h:' .. i % 101, key, word)
  redis.call('rpush', 'l:' .. i % 67, word .. i)
  redis.call('zadd', 'z:' .. i % 53, i * 7919 % 10007, key .. word)
  redis.call('sadd', 't:' .. i % 71, i * 104729 % 4099)
  if i % 3 == 0 then redis.call('del', 's:k' .. (i + 1500) % 5003) end
  if i % 5 == 0 then redis.call('lpop', 'l:' .. i % 67) end
end
return redis.call('dbsize')
