"""The words of join codes: short, known to beginners in English, and each said like no other."""

from __future__ import annotations

from typing import Final

_TEXT: Final = """
acorn apple arrow badge baker basil beach berry birch bison blue board boat bread brick bridge
broom brown brush bucket butter button cabin cable cactus camel candle candy canoe canyon carbon
carpet carrot castle cedar cello chain chalk cherry chess circle city cliff cloud clover cobalt
comet copper coral corn cotton crane crayon cricket crown crystal cube cup curtain daisy dance
delta desert diamond dolphin door dragon dream drum eagle earth echo elbow ember engine falcon
farm feather fern field finger flag flame flute forest fossil fox frog fruit galaxy garden garlic
gecko ginger glacier globe glove gold grape grass green guitar hammer harbor harp hazel helmet
heron hill honey hotel house ice igloo iris island ivory jacket jade jaguar jelly jewel jungle
kayak kettle king kite kiwi koala ladder lake lamp lantern lava lemon lily lion lizard lotus
magnet mango maple marble market meadow melon metal milk mint mirror moon moss mountain museum
mustard needle nest north nut oak ocean olive onion orange orbit orchid otter owl paddle palm
panda paper parrot pasta peach pearl pebble pencil pepper piano pilot pine planet plum pocket pond
potato prism puzzle quartz queen rabbit radar rain raven red reef ribbon rice ring river robin
rocket rose ruby salt sand school seal shell ship silk silver sky snow solar spark spice spider
spoon spring square star stone storm sugar summer swan table tea tennis tiger toast tomato torch
tower train tree tulip tunnel turtle valley velvet violet walnut water whale wheat wheel white
willow winter wolf wood yellow zebra
"""
WORDS: Final = tuple(_TEXT.split())
"""256, one for each value of a byte; a change of one would change the codes that are out."""
